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
	"github.com/easymicro/easymicro/wire/code"
)

// media is a content type of requests, and what is answered in.
type media struct {
	codec wire.Codec
	reply []string // the value of the Content-Type header; shared, never written to
}

const jsonType = "application/json"

var jsonMedia = media{wire.JSON, []string{jsonType}}

// mediaTypes are all content types that name a codec. What `curl -d` calls its data is JSON here.
var mediaTypes = func() map[string]media {
	all := map[string]media{jsonType: jsonMedia, "application/x-www-form-urlencoded": jsonMedia}
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

// replyTypes are the content types of codecs that were not named by one.
var replyTypes = map[wire.Codec][]string{
	wire.Raw: {"application/octet-stream"}, wire.JSON: jsonMedia.reply, wire.Protobuf: {"application/protobuf"},
	wire.Msgpack: {"application/msgpack"}, wire.Thrift: {"application/thrift"},
}

// readCodec finds the codec of the request, which is also the response's.
func (x *exchange) readCodec() *code.Error {
	if named, e := x.readSerializeType(); named {
		x.contentType = replyTypes[x.codec]
		return e
	}
	types := x.r.Header["Content-Type"]
	if len(types) == 0 || x.query {
		x.codec, x.contentType = wire.JSON, jsonMedia.reply
		return nil
	}
	m, ok := mediaTypes[types[0]]
	if !ok {
		m, ok = parseMedia(types[0])
	}
	if !ok || len(types) > 1 {
		x.w.Header().Set("Accept-Post", strings.Join(knownTypes(), ", "))
		return x.refuse(code.InvalidArgument, code.ReasonUnknownCodec,
			"the content type names no codec, use one of "+strings.Join(knownTypes(), ", "))
	}
	x.codec, x.contentType = m.codec, m.reply
	return nil
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

// minCompressed is the length from which on a reply is compressed: what fits into a packet gains nothing.
const minCompressed = 1 << 10

// keptPlain is how much memory of a reply is used again that is sent compressed.
const keptPlain = 4 << 10

// compress returns the body as the caller accepts it, and says so in the headers. A reply is there to its end before it is
// sent, so that it is compressed in memory: a caller that takes it slowly holds no compressor, and the length is known.
//
// An observer of the length alone (BREACH) needs replies that hold a secret beside what the attacker has put into a
// request that a browser makes with its user's credentials: no credential here is one that browsers send by themselves.
func (x *exchange) compress(body []byte) []byte {
	if len(body) < minCompressed {
		return body
	}
	h := x.w.Header()
	h.Add("Vary", "Accept-Encoding")
	name, c := acceptedEncoding(x.r.Header["Accept-Encoding"])
	if c == wire.NoCompression || x.codec == wire.Raw && isCompressed(body) {
		return body
	}
	out, err := wire.AppendCompressed(make([]byte, 0, len(body)/4), c, body)
	if err != nil || len(out) >= len(body) {
		return body
	}
	h.Set("Content-Encoding", name)
	if cap(x.res.Payload) > keptPlain {
		x.res.Payload = nil // the answer may wait for long, and is charged as it is sent
	}
	return out
}

// acceptedEncoding is the compression that the values of Accept-Encoding prefer, zstd among equals that are named (RFC 9110,
// 12.5.3). What only "*" allows is gzip, which all who write that can read.
func acceptedEncoding(accept []string) (string, wire.Compression) {
	if len(accept) == 0 {
		return "", wire.NoCompression
	}
	const unsaid = -1
	zstd, gzip, identity, other := float64(unsaid), float64(unsaid), 0.0, float64(unsaid)
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
	if gzip == unsaid {
		gzip = other
	}
	if zstd == unsaid && gzip <= 0 {
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

// quality is the weight among the parameters of an element; one that cannot be read is none.
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

// isCompressed reports whether bytes that a handler made are of a kind that does not get shorter.
func isCompressed(body []byte) bool {
	switch kind := http.DetectContentType(body); {
	case bytes.HasPrefix(body, []byte{0x28, 0xb5, 0x2f, 0xfd}): // zstd
		return true
	case strings.HasPrefix(kind, "text/"), kind == "application/octet-stream", kind == "image/svg+xml", kind == "image/bmp", kind == "audio/wave":
		return false
	}
	return true
}
