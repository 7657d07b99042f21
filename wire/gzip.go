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
		return dst, badPayload("it is no gzip")
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
			return dst, badPayload("it is no gzip: it holds more than it says")
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
