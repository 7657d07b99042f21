package wire

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/easymicro/easymicro/wire/code"
)

// maxDepth bounds the nesting of payloads. What is deeper takes more stack than it has bytes, and a stack that
// overflows ends the process.
const maxDepth = 1000

// Append encodes v with codec c behind dst. When it fails dst is unchanged and the error is INTERNAL, or
// INVALID_ARGUMENT with unknown_codec when c is none of ours.
func Append(c Codec, dst []byte, v any) ([]byte, error) {
	var out []byte
	var err error
	switch c {
	case Raw:
		out, err = appendRaw(dst, v)
	case JSON:
		out, err = appendJSON(dst, v)
	case Protobuf:
		out, err = appendProtobuf(dst, v)
	case Msgpack:
		out, err = appendMsgpack(dst, v)
	case Thrift:
		out, err = appendThrift(dst, v)
	default:
		return dst, unknownCodec(c)
	}
	if err != nil {
		return dst, code.Errorf(code.Internal, "encode as %s: %w", c, err)
	}
	return out, nil
}

// Decode decodes data into the pointer v, which is to be a zero value, and keeps no part of data. Any data gives a
// value or an error; errors are INVALID_ARGUMENT, with bad_payload, or unknown_codec when c is none of ours, and
// RESOURCE_EXHAUSTED with too_large when it would take too much memory, see Decoding. Their text says where and what kind,
// but repeats no value of the payload, so that it can be logged.
func Decode(c Codec, data []byte, v any) error {
	return new(Decoding).Decode(c, data, v)
}

// unknownCodec is the answer to a codec or a compression that is none of ours.
func unknownCodec(what fmt.Stringer) *code.Error {
	return code.Refuse(code.InvalidArgument, code.ReasonUnknownCodec, "unknown "+what.String(), "", "", 0)
}

// misfit is the answer to a payload that cannot be decoded. Peers are told in words of the payload; the type of the
// program that it does not fit is for operators.
func misfit(codec string, err error) *code.Error {
	if coded := new(code.Error); errors.As(err, &coded) {
		return coded
	}
	e := code.Refuse(code.InvalidArgument, code.ReasonBadPayload, codec+" payload: "+err.Error(), "", "", 0)
	if typed := new(typeError); errors.As(err, &typed) {
		return e.WithCause(fmt.Errorf("no %v can be made of it", typed.goType))
	}
	if unknown := new(UnknownMemberError); errors.As(err, &unknown) {
		return e.WithCause(unknown)
	}
	return e
}

func badPayload(what string) *code.Error {
	return code.Refuse(code.InvalidArgument, code.ReasonBadPayload, what, "", "", 0)
}

// roomLeft is how many bytes still fit into a frame.
type roomLeft int

func (r *roomLeft) take(n int) error {
	if *r -= roomLeft(n); *r < 0 {
		return errTooLong
	}
	return nil
}

// sink is a writer that appends to a slice, until that is too long for a frame.
type sink struct {
	roomLeft
	b []byte
}

// Write appends p.
func (s *sink) Write(p []byte) (int, error) {
	if err := s.take(len(p)); err != nil {
		return 0, err
	}
	s.b = append(s.b, p...)
	return len(p), nil
}

// WriteByte appends c.
func (s *sink) WriteByte(c byte) error {
	if err := s.take(1); err != nil {
		return err
	}
	s.b = append(s.b, c)
	return nil
}

var sinks = sync.Pool{New: func() any { return new(sink) }}

// appendWith gives encode a writer that appends to dst.
func appendWith(dst []byte, encode func(w *sink) error) ([]byte, error) {
	s := sinks.Get().(*sink)
	*s = sink{b: dst, roomLeft: maxPayload}
	err := encode(s)
	out := s.b
	*s = sink{}
	sinks.Put(s)
	return out, err
}

var errNotRaw = errors.New("the method takes or gives no raw bytes")

func appendRaw(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return append(dst, v...), nil
	case *[]byte:
		return append(dst, *v...), nil
	case string:
		return append(dst, v...), nil
	case *string:
		return append(dst, *v...), nil
	}
	return dst, errNotRaw
}

func decodeRaw(data []byte, v any) error {
	switch v := v.(type) {
	case *[]byte:
		*v = append((*v)[:0], data...)
		return nil
	case *string:
		*v = string(data)
		return nil
	}
	return errNotRaw
}

// AppendHTTP encodes v behind dst as the JSON that HTTP callers see: protojson for protobuf messages, that of Append
// for all else. Its errors are those of Append.
func AppendHTTP(dst []byte, v any) ([]byte, error) {
	m, ok := protoMessage(v)
	if !ok {
		return Append(JSON, dst, v)
	}
	if err := checkMessage(m, true); err != nil {
		return dst, code.Errorf(code.Internal, "encode as protojson: %w", err)
	}
	out, err := protojson.MarshalOptions{}.MarshalAppend(dst, m)
	if err != nil {
		return dst, code.Errorf(code.Internal, "encode as protojson: %w", err)
	}
	return out, nil
}

// DecodeHTTP decodes what AppendHTTP encodes into the pointer v. Unknown names are overlooked. Its errors are those of
// Decode.
func DecodeHTTP(data []byte, v any) error {
	return new(Decoding).DecodeHTTP(data, v)
}

// protojsonProblem keeps of an error only the place that it names, in the form (line 1:7), since the rest quotes values.
func protojsonProblem(err error) error {
	_, rest, ok := strings.Cut(err.Error(), "(line ")
	place, _, closed := strings.Cut(rest, ")")
	if !ok || !closed || strings.Trim(place, "0123456789:") != "" {
		return errors.New("it is no JSON of this message")
	}
	return errors.New("it is no JSON of this message at line " + place)
}
