package wire

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/easymicro/easymicro/wire/code"
)

// maxDepth bounds the nesting of payloads. What is deeper takes more stack than it has bytes, and a stack that
// overflows ends the process.
const maxDepth = 1000

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
		return e.WithCause(fmt.Errorf("cannot be decoded into %v", typed.goType))
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

var errEmpty = errors.New("empty")

// typeError reports a JSON value that does not fit the Go type it is decoded into.
type typeError struct {
	what   string // in words of JSON
	goType reflect.Type
}

func (e *typeError) Error() string { return e.what }

var (
	errTooDeep = errors.New("nested too deeply")
	errNoFit   = errors.New("does not match the type that the method takes")
)

var errTooLong = errors.New("too long for a frame")

// Codec is how a payload is encoded. A frame may carry any value up to 15; those without a name are answered with
// unknown_codec.
type Codec byte

// The codecs.
const (
	Raw Codec = iota
	JSON
	Protobuf
	Msgpack
	Thrift
)

var codecNames = [...]string{Raw: "raw", JSON: "json", Protobuf: "protobuf", Msgpack: "msgpack", Thrift: "thrift"}

// String is the codec's name in manifests, flags and metrics.
func (c Codec) String() string { return nameOf(codecNames[:], byte(c), "codec") }

// ParseCodec is the codec of a name.
func ParseCodec(name string) (Codec, bool) {
	c, ok := numberOf(codecNames[:], name)
	return Codec(c), ok
}

func nameOf(names []string, n byte, what string) string {
	if int(n) < len(names) {
		return names[n]
	}
	return what + " " + strconv.Itoa(int(n))
}

func numberOf(names []string, name string) (byte, bool) {
	for i, n := range names {
		if n == name {
			return byte(i), true
		}
	}
	return 0, false
}

const maxJSONDepth = 10_000 // of the decoder

const maxPayload = 1 << 30 // of what is sent: all its lengths fit into 32 bits, and into the ints of small machines

// UnknownMemberError is a member of a JSON payload that its object does not have.
type UnknownMemberError struct {
	Path  string   // a JSON pointer: /items/0/colour
	Known []string // the members that the object has
}

// Error says where the member is.
func (e *UnknownMemberError) Error() string { return "unknown member " + quotedPath(e.Path) }

// Name returns the name of the member.
func (e *UnknownMemberError) Name() string { return jsontext.Pointer(e.Path).LastToken() }

// quotedPath shows a place in a payload: bounded, and without what could break a line of a log.
func quotedPath(path string) string {
	const most = 64
	return strconv.QuoteToASCII(code.Clip(path, most))
}
