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
			panic(err) // the options are constants
		}
		return e
	})
	zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(math.MaxInt32))
		if err != nil {
			panic(err) // the options are constants
		}
		return d
	})
)

// appendUnzstd decompresses into room of a fixed size, and into four times that when it was too small: the decoder
// would allocate at once what a frame claims.
func appendUnzstd(dst, src []byte, limit int) ([]byte, error) {
	claimed := zstdClaim(src)
	if claimed > uint64(limit) && claimed != math.MaxUint64 {
		return dst, tooMuch(limit)
	}
	const growth = 4
	for room := firstRoom(len(src), int(min(claimed, uint64(limit))), limit); ; room = min(growth*room+1, limit) {
		dst = slices.Grow(dst, room)
		out, err := zstdDecoder().DecodeAll(src, dst[len(dst):len(dst):len(dst)+room])
		if err == nil {
			return append(dst, out...), nil // in place: out is the room behind dst
		}
		if !errors.Is(err, zstd.ErrDecoderSizeExceeded) {
			return dst, badPayload("it is no zstd")
		}
		if room == limit {
			return dst, tooMuch(limit)
		}
	}
}

// zstdClaim is the length that the first frame of src says it has when decompressed, MaxUint64 when it says nothing.
func zstdClaim(src []byte) uint64 {
	var h zstd.Header
	if h.Decode(src) != nil || !h.HasFCS {
		return math.MaxUint64
	}
	return h.FrameContentSize
}
