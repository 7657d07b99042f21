package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/easymicro/easymicro/wire/code"
)

// Compression is the compression of a payload. A frame may have any value up to 7.
type Compression byte

// Compressions. Zstd is only sent to peers that accept it with MetaAcceptCompression.
const (
	NoCompression Compression = iota
	Gzip
	Zstd
)

var compressionNames = [...]string{NoCompression: "none", Gzip: "gzip", Zstd: "zstd"}

// String returns the name that metadata and flags use.
func (c Compression) String() string { return nameOf(compressionNames[:], byte(c), "compression") }

// ParseCompression returns the compression with the given name.
func ParseCompression(name string) (Compression, bool) {
	c, ok := numberOf(compressionNames[:], name)
	return Compression(c), ok
}

// AppendCompressed compresses src with c and appends it to dst. It fails with INVALID_ARGUMENT/unknown_codec for an unknown
// c.
func AppendCompressed(dst []byte, c Compression, src []byte) ([]byte, error) {
	switch c {
	case NoCompression:
		return append(dst, src...), nil
	case Gzip:
		return appendGzip(dst, src)
	case Zstd:
		return zstdEncoder().EncodeAll(src, dst), nil
	}
	return dst, unknownCodec(c)
}

// Decompress decompresses src with c and appends at most limit bytes to dst. Memory grows with the output, not with what src
// claims. An empty src decompresses to nothing. Errors are INVALID_ARGUMENT/bad_payload, INVALID_ARGUMENT/unknown_codec and
// RESOURCE_EXHAUSTED/too_large.
func Decompress(dst []byte, c Compression, src []byte, limit int) ([]byte, error) {
	switch {
	case c > Zstd:
		return dst, unknownCodec(c)
	case len(src) == 0:
		return dst, nil
	case c == Gzip:
		return appendGunzipped(dst, src, limit)
	case c == Zstd:
		return appendUnzstd(dst, src, limit)
	case len(src) > limit:
		return dst, tooMuch(limit)
	}
	return append(dst, src...), nil
}

// DecompressedSize returns the maximum length of src once decompressed, at most limit.
func DecompressedSize(c Compression, src []byte, limit int) int {
	var n uint64
	switch c {
	case Gzip:
		n = min(gzipClaim(src), gzipMaxRatio*uint64(len(src)))
	case Zstd:
		n, _ = zstdBound(src)
	case NoCompression: // nothing is decompressed
	}
	return int(min(n, uint64(limit)))
}

func tooMuch(limit int) *code.Error {
	what := fmt.Sprintf("the payload exceeds the limit of %d bytes", limit)
	return code.Refuse(code.ResourceExhausted, code.ReasonTooLarge, what, "", "", 0)
}

var gzipWriters = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // fails only for unknown levels
	return w
}}

func appendGzip(dst, src []byte) ([]byte, error) {
	w := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(w)
	return appendWith(dst, func(out *sink) error {
		w.Reset(out)
		defer w.Reset(io.Discard)
		if _, err := w.Write(src); err != nil {
			return err
		}
		return w.Close()
	})
}

// gunzip is a decompressor with its source. The source is an io.ByteReader, so that gzip does not read ahead.
type gunzip struct {
	gzip.Reader
	src bytes.Reader
}

var gunzips = sync.Pool{New: func() any { return new(gunzip) }}

func appendGunzipped(dst, src []byte, limit int) ([]byte, error) {
	z := gunzips.Get().(*gunzip)
	defer func() {
		z.src.Reset(nil)
		gunzips.Put(z)
	}()
	z.src.Reset(src)
	if err := z.Reset(&z.src); err != nil {
		return dst, badPayload("not valid gzip")
	}
	z.Multistream(false)
	claimed := gzipClaim(src)
	if claimed > uint64(limit) {
		return dst, tooMuch(limit)
	}

	start, end := len(dst), len(dst)+int(claimed)+1 // one more than claimed, to detect an excess
	out := slices.Grow(dst, int(min(claimed+1, gzipFirstRatio*uint64(len(src)))))
	for {
		if len(out) == cap(out) {
			out = slices.Grow(out, min(len(out)-start+gzipStep, end-len(out)))
		}
		n, err := z.Read(out[len(out):min(cap(out), end)])
		out = out[:len(out)+n]
		switch {
		case len(out) == end:
			return dst, badPayload("not valid gzip: longer than it says")
		case err == io.EOF && z.src.Len() > 0: //nolint:errorlint // io.Reader promises the bare value
			return dst, badPayload("trailing bytes after the gzip member")
		case err == io.EOF: //nolint:errorlint // the same
			return out, nil
		case err != nil:
			return dst, badPayload("not valid gzip")
		}
	}
}

// gzipClaim returns the decompressed length according to the trailer of src.
func gzipClaim(src []byte) uint64 {
	if len(src) < 4 {
		return 0
	}
	return uint64(binary.LittleEndian.Uint32(src[len(src)-4:]))
}

const (
	gzipMaxRatio   = 1032    // the format's maximum
	gzipFirstRatio = 16      // memory is allocated at once for the claim, up to this ratio,
	gzipStep       = 4 << 10 // and then in steps that double
)

const zstdWindow = 512 << 10 // bounds the memory of our encoder and of the peer's decoder

// One encoder and one decoder serve all calls: each is a pool with a worker per processor, without goroutines.
var (
	zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic(err) //nolint:forbidigo // the options are constants: it cannot fail
		}
		return e
	})
	zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(math.MaxInt32))
		if err != nil {
			panic(err) //nolint:forbidigo // the options are constants: it cannot fail
		}
		return d
	})
)

// appendUnzstd decompresses one frame. The decoder would allocate what the frame claims, or a window, so the blocks are
// counted first and memory grows in steps up to what they can hold.
func appendUnzstd(dst, src []byte, limit int) ([]byte, error) {
	maximum, ok := zstdBound(src)
	if !ok {
		return dst, badPayload("not exactly one zstd frame")
	}
	bound := int(min(maximum, uint64(limit)))
	for size := min(bound, max(zstdStep, zstdFirstRatio*len(src))); ; size = min(bound, zstdGrowth*size) {
		dst = slices.Grow(dst, size)
		out, err := zstdDecoder().DecodeAll(src, dst[len(dst):len(dst):len(dst)+size])
		switch {
		case err == nil:
			return append(dst, out...), nil // in place, as a rule
		case errors.Is(err, zstd.ErrDecoderSizeExceeded) && size < bound:
			continue
		case maximum > uint64(limit):
			return dst, tooMuch(limit) // or malformed beyond the limit
		}
		return dst, badPayload("not valid zstd")
	}
}

// zstdBound returns the maximum length of src once decompressed, from its header and its blocks. ok is false unless src is
// exactly one frame.
func zstdBound(src []byte) (maximum uint64, ok bool) {
	var h zstd.Header
	if h.Decode(src) != nil || h.Skippable || h.HeaderSize > len(src) {
		return 0, false
	}
	blocks, rest, ok := zstdBlocks(src[h.HeaderSize:])
	if h.HasCheckSum {
		if len(rest) < zstdSumBytes {
			return 0, false
		}
		rest = rest[zstdSumBytes:]
	}
	if h.HasFCS {
		blocks = min(blocks, h.FrameContentSize)
	}
	return blocks, ok && len(rest) == 0
}

const (
	zstdStep       = 64 << 10 // memory allocated at first: this much, or this multiple of the input;
	zstdFirstRatio = 16       // then the frame is decompressed again with this many times as much
	zstdGrowth     = 4

	zstdSumBytes = 4
	zstdMaxBlock = 128 << 10

	zstdRaw, zstdRLE, zstdCompressed = 0, 1, 2
)

// zstdBlocks returns the maximum decompressed length of the blocks at the beginning of src, and what follows them.
func zstdBlocks(src []byte) (maximum uint64, rest []byte, ok bool) {
	for {
		if len(src) < 3 {
			return 0, nil, false
		}
		header := uint32(src[0]) | uint32(src[1])<<8 | uint32(src[2])<<16
		last, kind, size := header&1 != 0, header>>1&3, int(header>>3)
		src = src[3:]
		taken := size
		switch kind {
		case zstdRaw:
			maximum += uint64(size)
		case zstdRLE:
			maximum += uint64(size)
			taken = 1
		case zstdCompressed:
			maximum += zstdMaxBlock
		default:
			return 0, nil, false
		}
		if taken > len(src) || size > zstdMaxBlock {
			return 0, nil, false
		}
		if src = src[taken:]; last {
			return maximum, src, true
		}
	}
}

func compressionList(list []Compression) string {
	var s string
	for i, c := range list {
		if i > 0 {
			s += ","
		}
		s += c.String()
	}
	return s
}

func accepts(list string, c Compression) bool {
	for name := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(name) == c.String() {
			return true
		}
	}
	return false
}
