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

// media is a content type of requests, and that of their answers.
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

// replyTypes are the content types of answers whose request did not name its codec by one.
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

// minCompressed is the length from which a reply is compressed: one that fits into a packet gains nothing.
const minCompressed = 1 << 10

// compress returns the body in the encoding that the caller prefers, and sets the headers that say so; ok is false if it is
// sent as it is. A reply is complete before it is sent, so it is compressed in memory: a caller that reads it slowly holds
// no compressor, and the length is known.
//
// The length alone helps an observer (BREACH) only if a reply holds a secret beside text that the attacker chose, in a
// request that a browser makes with its user's credentials: no credential here is one that browsers send by themselves.
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

// acceptedEncoding returns the compression that Accept-Encoding prefers, zstd among equals that are named (RFC 9110,
// 12.5.3), and gzip if only "*" allows one, since every client that sends it supports gzip.
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

// quality returns the weight among the parameters of an element; a malformed one counts as zero.
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

// isCompressed reports whether bytes of a handler are of a kind that does not get shorter.
func isCompressed(body []byte) bool {
	switch kind := http.DetectContentType(body); {
	case bytes.HasPrefix(body, []byte{0x28, 0xb5, 0x2f, 0xfd}): // zstd
		return true
	case strings.HasPrefix(kind, "text/"), kind == "application/octet-stream", kind == "image/svg+xml", kind == "image/bmp", kind == "audio/wave":
		return false
	}
	return true
}
