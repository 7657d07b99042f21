package wire

import (
	"bytes"
	"errors"
	"sync"

	"github.com/tinylib/msgp/msgp"
	"github.com/vmihailenco/msgpack/v5"
)

var (
	errMsgpack     = errors.New("it is no msgpack")
	errMsgpackRest = errors.New("bytes follow the value")
	errTooDeep     = errors.New("it is nested too deeply")
	errNoFit       = errors.New("it does not fit the type that the method takes")
)

// msgpackDecoder is a decoder with the reader that it reads from.
type msgpackDecoder struct {
	dec *msgpack.Decoder
	src bytes.Reader
}

var (
	msgpackDecoders = sync.Pool{New: func() any { return &msgpackDecoder{dec: msgpack.NewDecoder(nil)} }}
	msgpackEncoders = sync.Pool{New: func() any { return msgpack.NewEncoder(nil) }}
)

func appendMsgpack(dst []byte, v any) ([]byte, error) {
	if err := msgpackEncodable.check(v); err != nil {
		return dst, err
	}
	enc := msgpackEncoders.Get().(*msgpack.Encoder)
	defer msgpackEncoders.Put(enc)
	return appendWith(dst, func(w *sink) error {
		enc.Reset(w)
		enc.UseCompactInts(true)
		return enc.Encode(v)
	})
}

// decodeMsgpack walks data before it is decoded: the decoder believes lengths and has no limit of depth, and a payload
// of five bytes would end the process.
func decodeMsgpack(data []byte, v any) error {
	if len(data) > maxDepth && msgpackTooDeep(data) {
		return errTooDeep
	}
	rest, err := msgp.Skip(data)
	if err != nil {
		return errMsgpack
	}
	if len(rest) != 0 {
		return errMsgpackRest
	}
	d := msgpackDecoders.Get().(*msgpackDecoder)
	d.src.Reset(data)
	d.dec.Reset(&d.src)
	d.dec.DisableAllocLimit(true) // lengths are those of data, which has been walked
	err = d.dec.Decode(v)
	d.src.Reset(nil)
	// The decoder keeps a buffer as long as the longest string; one that may be large is left to the collector.
	if len(data) <= keepPayload {
		msgpackDecoders.Put(d)
	}
	if err != nil {
		return errNoFit
	}
	return nil
}
