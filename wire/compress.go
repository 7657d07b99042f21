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

// AppendCompressed appends src, compressed with c, to dst. The error for a c that is none of ours is INVALID_ARGUMENT
// with unknown_codec.
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

// Decompress appends what src holds, compressed with c, to dst; it is at most limit bytes. Memory grows with what comes
// out, never with what src claims. An empty src holds nothing, whatever it was compressed with. Errors have a code:
// INVALID_ARGUMENT with bad_payload or unknown_codec, or RESOURCE_EXHAUSTED with too_large.
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

// DecompressedSize returns the most that Decompress makes of src.
func DecompressedSize(c Compression, src []byte, limit int) int {
	var most uint64
	switch c {
	case Gzip:
		most = min(gzipClaim(src), gzipMostRatio*uint64(len(src)))
	case Zstd:
		most, _ = zstdBound(src)
	case NoCompression: // nothing is decompressed
	}
	return int(min(most, uint64(limit)))
}

func tooMuch(limit int) *code.Error {
	what := fmt.Sprintf("the payload exceeds the limit of %d bytes", limit)
	return code.Refuse(code.ResourceExhausted, code.ReasonTooLarge, what, "", "", 0)
}

var gzipWriters = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // fails for unknown levels only
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

// gunzip is a decompressor with the reader that it reads from, which gives single bytes and so is never read too far.
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

	start, most := len(dst), len(dst)+int(claimed)+1 // one more than may come, to see that too much does
	out := slices.Grow(dst, int(min(claimed+1, gzipUsualRatio*uint64(len(src)))))
	for {
		if len(out) == cap(out) {
			out = slices.Grow(out, min(len(out)-start+gzipStep, most-len(out)))
		}
		n, err := z.Read(out[len(out):min(cap(out), most)])
		out = out[:len(out)+n]
		switch {
		case len(out) == most:
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

// gzipClaim is the length that the end of src says it has when decompressed.
func gzipClaim(src []byte) uint64 {
	if len(src) < 4 {
		return 0
	}
	return uint64(binary.LittleEndian.Uint32(src[len(src)-4:]))
}

const (
	gzipMostRatio  = 1032    // no input makes more of itself; and
	gzipUsualRatio = 16      // room is made at once for what is claimed, up to this multiple of the input,
	gzipStep       = 4 << 10 // and then for as much again as has come out
)

const zstdWindow = 512 << 10 // of what we send; it is also the memory of an encoder

// One encoder and one decoder serve all: they are pools of their own, one worker a processor, without goroutines.
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

// appendUnzstd decompresses one frame. The decoder would make room for what the frame claims, or for a window; so the
// blocks are counted first, and room is made in steps up to what can come out of them.
func appendUnzstd(dst, src []byte, limit int) ([]byte, error) {
	most, ok := zstdBound(src)
	if !ok {
		return dst, badPayload("not exactly one zstd frame")
	}
	bound := int(min(most, uint64(limit)))
	for room := min(bound, max(zstdStep, zstdUsualRatio*len(src))); ; room = min(bound, zstdGrowth*room) {
		dst = slices.Grow(dst, room)
		out, err := zstdDecoder().DecodeAll(src, dst[len(dst):len(dst):len(dst)+room])
		switch {
		case err == nil:
			return append(dst, out...), nil // in place, as a rule: out is the room behind dst
		case errors.Is(err, zstd.ErrDecoderSizeExceeded) && room < bound:
			continue
		case most > uint64(limit):
			return dst, tooMuch(limit) // or malformed beyond the limit, which nobody needs to know
		}
		return dst, badPayload("not valid zstd")
	}
}

// zstdBound is the most that src can hold when decompressed: what its header says, unless its blocks cannot be that
// much. It is false when src is not exactly one frame.
func zstdBound(src []byte) (uint64, bool) {
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
	zstdStep       = 64 << 10 // room is made at once for so much, or this multiple of the input,
	zstdUsualRatio = 16       // and then for more times as much, with which the frame is decompressed again
	zstdGrowth     = 4

	zstdSumBytes = 4
	zstdMaxBlock = 128 << 10

	zstdRaw, zstdRLE, zstdCompressed = 0, 1, 2
)

// zstdBlocks is the most that the blocks at the beginning of src can hold when decompressed, and what follows them.
func zstdBlocks(src []byte) (most uint64, rest []byte, ok bool) {
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
			most += uint64(size)
		case zstdRLE:
			most += uint64(size)
			taken = 1
		case zstdCompressed:
			most += zstdMaxBlock
		default:
			return 0, nil, false
		}
		if taken > len(src) || size > zstdMaxBlock {
			return 0, nil, false
		}
		if src = src[taken:]; last {
			return most, src, true
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

// Compression is what a payload was compressed with. A frame may carry any value up to 7.
type Compression byte

// The compressions. Zstd is only sent to peers that asked for it, with MetaAcceptCompression.
const (
	NoCompression Compression = iota
	Gzip
	Zstd
)

var compressionNames = [...]string{NoCompression: "none", Gzip: "gzip", Zstd: "zstd"}

// String is the compression's name in metadata and flags.
func (c Compression) String() string { return nameOf(compressionNames[:], byte(c), "compression") }

// ParseCompression is the compression of a name.
func ParseCompression(name string) (Compression, bool) {
	c, ok := numberOf(compressionNames[:], name)
	return Compression(c), ok
}

func accepts(list string, c Compression) bool {
	for name := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(name) == c.String() {
			return true
		}
	}
	return false
}
