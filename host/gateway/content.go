package gateway

import (
	"bytes"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/easymicro/easymicro/wire"
)

// media describes a content type of requests: its codec and the content type of the responses.
type media struct {
	codec wire.Codec
	reply []string // value of the Content-Type header; shared, never written to
}

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"
)

var jsonMedia = media{wire.JSON, []string{jsonType}}

// mediaTypes are all content types that name a codec. The one that `curl -d` sends by default means JSON here.
var mediaTypes = func() map[string]media {
	all := map[string]media{jsonType: jsonMedia, formType: jsonMedia}
	for c, types := range map[wire.Codec][]string{
		wire.Raw:      {"application/octet-stream"},
		wire.Protobuf: {"application/protobuf", "application/x-protobuf", "application/vnd.google.protobuf"},
		wire.Msgpack:  {"application/msgpack", "application/x-msgpack", "application/vnd.msgpack"},
		wire.Thrift:   {"application/thrift", "application/x-thrift", "application/vnd.apache.thrift.binary"},
	} {
		for _, t := range types {
			all[t] = media{c, []string{t}}
		}
	}
	return all
}()

// replyTypes are the content types of responses to requests that did not name their codec by content type.
var replyTypes = map[wire.Codec][]string{
	wire.Raw: {"application/octet-stream"}, wire.JSON: jsonMedia.reply, wire.Protobuf: {"application/protobuf"},
	wire.Msgpack: {"application/msgpack"}, wire.Thrift: {"application/thrift"},
}

func parseMedia(contentType string) (media, bool) {
	if contentType == "" {
		return jsonMedia, true
	}
	name, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return media{}, false
	}
	m, ok := mediaTypes[name]
	if charset := params["charset"]; ok && m.codec == wire.JSON && charset != "" {
		ok = strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "us-ascii")
	}
	return m, ok
}

func knownTypes() []string { return slices.Sorted(maps.Keys(mediaTypes)) }

// minCompressed is the length from which a reply is compressed: one that fits into a packet does not gain from it.
const minCompressed = 1 << 10

// compress returns the body in the encoding that the caller prefers, and sets its headers; ok is false if the body is sent
// uncompressed. A reply is complete before it is sent, so it is compressed in memory: a caller that reads it slowly holds
// no compressor, and the length is known.
//
// Compression leaks secrets through the length (BREACH) only if a browser sends requests, with its user's credentials,
// whose replies hold a secret beside text chosen by the attacker. Browsers send none of the credentials used here by
// themselves.
func compress(h http.Header, accept []string, raw bool, body []byte) (_ []byte, ok bool) {
	if len(body) < minCompressed {
		return nil, false
	}
	h.Add("Vary", "Accept-Encoding")
	name, c := acceptedEncoding(accept)
	if c == wire.NoCompression || raw && isCompressed(body) {
		return nil, false
	}
	out, err := wire.AppendCompressed(make([]byte, 0, len(body)/4), c, body)
	if err != nil || len(out) >= len(body) {
		return nil, false
	}
	h.Set("Content-Encoding", name)
	return out, true
}

// acceptedEncoding returns the compression that Accept-Encoding prefers (RFC 9110, 12.5.3). Among equals it is zstd, and if
// only "*" allows one it is gzip, which every client that sends "*" supports.
func acceptedEncoding(accept []string) (string, wire.Compression) {
	if len(accept) == 0 {
		return "", wire.NoCompression
	}
	const unset = -1
	zstd, gzip, identity, other := float64(unset), float64(unset), 0.0, float64(unset)
	for element := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		coding, params, _ := strings.Cut(element, ";")
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "zstd":
			zstd = quality(params)
		case "gzip", "x-gzip":
			gzip = quality(params)
		case "identity":
			identity = quality(params)
		case "*":
			other = quality(params)
		}
	}
	if gzip == unset {
		gzip = other
	}
	if zstd == unset && gzip <= 0 {
		zstd = other
	}
	switch {
	case zstd > 0 && zstd >= gzip && zstd >= identity:
		return "zstd", wire.Zstd
	case gzip > 0 && gzip >= identity:
		return "gzip", wire.Gzip
	}
	return "", wire.NoCompression
}

// quality returns the weight in the parameters of an element; a malformed weight counts as zero.
func quality(params string) float64 {
	name, value, ok := strings.Cut(params, "=")
	if !ok {
		return 1
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || !strings.EqualFold(strings.TrimSpace(name), "q") || !(q >= 0 && q <= 1) {
		return 0
	}
	return q
}

// isCompressed reports whether a handler's bytes are in a format that is already compressed.
func isCompressed(body []byte) bool {
	switch kind := http.DetectContentType(body); {
	case bytes.HasPrefix(body, []byte{0x28, 0xb5, 0x2f, 0xfd}): // zstd
		return true
	case strings.HasPrefix(kind, "text/"), kind == "application/octet-stream", kind == "image/svg+xml", kind == "image/bmp", kind == "audio/wave":
		return false
	}
	return true
}
