package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync"

	"github.com/tinylib/msgp/msgp"
	"github.com/vmihailenco/msgpack/v5"
)

var (
	errMsgpack     = errors.New("not valid msgpack")
	errMsgpackRest = errors.New("trailing bytes after the value")
)

// msgpackDecoder is a decoder with its source.
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

// decodeMsgpack checks data first: the decoder trusts lengths and has no depth limit, so a payload of five bytes could end
// the process.
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
	d.dec.DisableAllocLimit(true) // the walk has checked the lengths
	err = d.dec.Decode(v)
	d.src.Reset(nil)
	// The decoder keeps a buffer as long as the longest string; one that may be large is not pooled.
	if len(data) <= keepPayload {
		msgpackDecoders.Put(d)
	}
	if err != nil {
		return errMismatch
	}
	return nil
}

const (
	msgpackNil    = 0xc0
	msgpackUnused = 0xc1
)

func msgpackIsMap(head byte) bool { return head&0xf0 == 0x80 || head >= 0xde && head <= 0xdf }

func msgpackIsArray(head byte) bool { return head&0xf0 == 0x90 || head >= 0xdc && head <= 0xdd }

func msgpackIsBinary(head byte) bool { return head >= 0xc4 && head <= 0xc6 }

func msgpackIsExtension(head byte) bool {
	return head >= 0xc7 && head <= 0xc9 || head >= 0xd4 && head <= 0xd8
}

// msgpackText returns the bytes of a complete string or binary; other values are returned as they are, which matches no
// name.
func msgpackText(value []byte) []byte {
	switch b := value[0]; {
	case b >= 0xa0 && b <= 0xbf:
		return value[1:]
	case msgpackIsBinary(b):
		return value[1+1<<(b-0xc4):]
	case b >= 0xd9 && b <= 0xdb:
		return value[1+1<<(b-0xd9):]
	}
	return value
}

// msgpackBody returns the content of a complete extension.
func msgpackBody(extension []byte) []byte {
	if head := extension[0]; head <= 0xc9 {
		return extension[2+1<<(head-0xc7):]
	}
	return extension[2:]
}

// msgpackTime is a time in a payload, left bytes before its end.
type msgpackTime struct {
	left, taken int
	id          byte
	nanoseconds uint32
	seconds     uint64
}

// msgpackTimeOf returns the time in an extension of four or eight bytes.
func msgpackTimeOf(extension, body []byte) (t msgpackTime, ok bool) {
	t = msgpackTime{taken: len(extension), id: extension[len(extension)-len(body)-1]}
	switch len(body) {
	case 4:
		t.seconds = uint64(binary.BigEndian.Uint32(body))
	case 8:
		both := binary.BigEndian.Uint64(body)
		t.nanoseconds, t.seconds = uint32(both>>34), both&(1<<34-1)
	default:
		return t, false
	}
	return t, t.id == 0xff || t.id == 13 // the specification's, and that of Node.js
}

// withLongTimes returns data with the given times in the encoding of twelve bytes.
func withLongTimes(data []byte, times []msgpackTime) []byte {
	out := make([]byte, 0, len(data)+9*len(times))
	at := 0
	for _, t := range times {
		end := len(data) - t.left
		out = append(out, data[at:end-t.taken]...)
		out = append(out, 0xc7, 12, t.id)
		out = binary.BigEndian.AppendUint32(out, t.nanoseconds)
		out = binary.BigEndian.AppendUint64(out, t.seconds)
		at = end
	}
	return append(out, data[at:]...)
}

// msgpackTooDeep reports whether data nests containers beyond maxDepth. It does not recurse, and stops at malformed data,
// which the decoder reports. Payloads up to maxDepth bytes need no check.
func msgpackTooDeep(data []byte) bool {
	var open [maxDepth]uint64 // values missing in each open container
	depth := 0
	for len(data) > 0 {
		skip, values := msgpackValue(data)
		if skip == 0 || skip > uint64(len(data)) {
			return false
		}
		data = data[skip:]
		if values > 0 {
			if depth == maxDepth {
				return true
			}
			open[depth] = values
			depth++
			continue
		}
		for depth > 0 {
			open[depth-1]--
			if open[depth-1] > 0 {
				break
			}
			depth--
		}
	}
	return false
}

// msgpackValue returns the length of the first value without the values in it, and their number. A length of 0 means that
// data is truncated.
func msgpackValue(data []byte) (skip, values uint64) {
	switch b := data[0]; {
	case b <= 0x7f, b >= 0xe0, b >= 0xc0 && b <= 0xc3: // small integers, nil, booleans
		return 1, 0
	case b <= 0x8f: // small map
		return 1, 2 * uint64(b&0x0f)
	case b <= 0x9f: // small array
		return 1, uint64(b & 0x0f)
	case b <= 0xbf: // small string
		return 1 + uint64(b&0x1f), 0
	case b <= 0xc6: // binary of 8, 16, 32 bits of length
		return msgpackSized(data, 1<<(b-0xc4), 0)
	case b <= 0xc9: // extension of 8, 16, 32 bits of length
		return msgpackSized(data, 1<<(b-0xc7), 1)
	case b <= 0xcb: // float 32, 64
		return 1 + 4<<(b-0xca), 0
	case b <= 0xcf: // unsigned of 8 to 64 bits
		return 1 + 1<<(b-0xcc), 0
	case b <= 0xd3: // signed of 8 to 64 bits
		return 1 + 1<<(b-0xd0), 0
	case b <= 0xd8: // extension of 1 to 16 bytes
		return 2 + 1<<(b-0xd4), 0
	case b <= 0xdb: // string of 8, 16, 32 bits of length
		return msgpackSized(data, 1<<(b-0xd9), 0)
	case b <= 0xdd: // array of 16, 32 bits of length
		n, ok := msgpackUint(data[1:], 2<<(b-0xdc))
		return headOf(1+2<<(b-0xdc), ok), n
	default: // map of 16, 32 bits of length
		n, ok := msgpackUint(data[1:], 2<<(b-0xde))
		return headOf(1+2<<(b-0xde), ok), 2 * n
	}
}

func msgpackSized(data []byte, width int, extra uint64) (skip, values uint64) {
	n, ok := msgpackUint(data[1:], width)
	return headOf(1+uint64(width)+extra+n, ok), 0
}

func headOf(n uint64, ok bool) uint64 {
	if !ok {
		return 0
	}
	return n
}

func msgpackUint(b []byte, width int) (uint64, bool) {
	if len(b) < width {
		return 0, false
	}
	switch width {
	case 1:
		return uint64(b[0]), true
	case 2:
		return uint64(binary.BigEndian.Uint16(b)), true
	}
	return uint64(binary.BigEndian.Uint32(b)), true
}
