package wire

import (
	"fmt"

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

// Compress compresses the payload with c if that makes it shorter.
func (f *Frame) Compress(c Compression) error {
	if c == NoCompression || f.Compression != NoCompression || len(f.Payload) == 0 {
		return nil
	}
	out, err := AppendCompressed(make([]byte, 0, len(f.Payload)), c, f.Payload)
	if err != nil || len(out) >= len(f.Payload) {
		return err
	}
	f.Payload, f.Compression = out, c
	return nil
}

// Decompress makes the payload plain, at most limit bytes of it. Its errors are those of the function Decompress.
func (f *Frame) Decompress(limit int) error {
	if f.Compression == NoCompression {
		return nil
	}
	out, err := Decompress(nil, f.Compression, f.Payload, limit)
	if err != nil {
		return err
	}
	f.Payload, f.Compression = out, NoCompression
	return nil
}

func tooMuch(limit int) *code.Error {
	what := fmt.Sprintf("payload of more than the %d bytes allowed", limit)
	return code.Refuse(code.ResourceExhausted, code.ReasonTooLarge, what, "", "", 0)
}
