package wire

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
)

var gzipWriters = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // fails for unknown levels only
	return w
}}

func appendGzip(dst, src []byte) ([]byte, error) {
	w := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(w)
	return appendWith(dst, func(b *bytes.Buffer) error {
		w.Reset(b)
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
	claimed := gzipClaim(src)
	if uint64(claimed) > uint64(limit) {
		return dst, tooMuch(limit)
	}
	z := gunzips.Get().(*gunzip)
	defer func() {
		z.src.Reset(nil)
		gunzips.Put(z)
	}()
	z.src.Reset(src)
	if err := z.Reset(&z.src); err != nil {
		return dst, badPayload("it is no gzip")
	}
	z.Multistream(false)

	start := len(dst)
	out := slices.Grow(dst, firstRoom(len(src), int(claimed), limit)+1) // one more, to see the end without growing
	for {
		if len(out) == cap(out) {
			out = slices.Grow(out, len(out)-start+1)
		}
		n, err := z.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		switch {
		case len(out)-start > limit:
			return dst, tooMuch(limit)
		case err == io.EOF && z.src.Len() > 0: //nolint:errorlint // io.Reader promises the bare value
			return dst, badPayload("bytes follow the gzip member")
		case err == io.EOF: //nolint:errorlint // the same
			return out, nil
		case err != nil:
			return dst, badPayload("it is no gzip")
		}
	}
}

// gzipClaim is the length that the end of src says it has when decompressed.
func gzipClaim(src []byte) uint32 {
	if len(src) < 4 {
		return 0
	}
	return binary.LittleEndian.Uint32(src[len(src)-4:])
}
