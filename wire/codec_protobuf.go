package wire

import (
	"errors"
	"slices"

	"google.golang.org/protobuf/proto"
)

// Messages of vtprotobuf bring faster methods of their own; they are known by shape, without that module.
type (
	vtAppender interface {
		SizeVT() int
		MarshalToSizedBufferVT(b []byte) (int, error)
	}
	vtMarshaler   interface{ MarshalVT() ([]byte, error) }
	vtUnmarshaler interface{ UnmarshalVT(b []byte) error }
)

// vtMaxBytes is the longest payload that is left to UnmarshalVT, which has no limit of depth, when there is a choice.
const vtMaxBytes = 64 << 10

var (
	errNotProto = errors.New("the method takes or gives no protobuf message")
	errBadProto = errors.New("it is no encoding of this message")
)

func appendProtobuf(dst []byte, v any) ([]byte, error) {
	switch m := v.(type) {
	case vtAppender:
		n := m.SizeVT()
		out := slices.Grow(dst, n)[:len(dst)+n]
		_, err := m.MarshalToSizedBufferVT(out[len(dst):])
		return out, err
	case vtMarshaler:
		b, err := m.MarshalVT()
		return append(dst, b...), err
	case proto.Message:
		return proto.MarshalOptions{}.MarshalAppend(dst, m)
	}
	return dst, errNotProto
}

func decodeProtobuf(data []byte, v any) error {
	m, isProto := v.(proto.Message)
	vt, isVT := v.(vtUnmarshaler)
	var err error
	switch {
	case isVT && (len(data) <= vtMaxBytes || !isProto):
		err = vt.UnmarshalVT(data)
	case isProto:
		err = proto.UnmarshalOptions{RecursionLimit: maxDepth}.Unmarshal(data, m)
	default:
		return errNotProto
	}
	if err != nil {
		return errBadProto
	}
	return nil
}
