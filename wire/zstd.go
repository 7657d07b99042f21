package wire

import (
	"errors"
	"math"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
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
		return dst, badPayload("it is not one zstd frame")
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
		return dst, badPayload("it is no zstd")
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
