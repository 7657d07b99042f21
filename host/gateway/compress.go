package gateway

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"

	"github.com/easymicro/easymicro/wire"
)

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
