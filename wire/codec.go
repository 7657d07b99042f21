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

// Codec is the encoding of a payload. A frame may have any value up to 15; requests with an unnamed one are refused with
// unknown_codec.
type Codec byte

// Codecs.
const (
	Raw Codec = iota
	JSON
	Protobuf
	Msgpack
	Thrift
)

var codecNames = [...]string{Raw: "raw", JSON: "json", Protobuf: "protobuf", Msgpack: "msgpack", Thrift: "thrift"}

// String returns the name that manifests, flags and metrics use.
func (c Codec) String() string { return nameOf(codecNames[:], byte(c), "codec") }

// ParseCodec returns the codec with the given name.
func ParseCodec(name string) (Codec, bool) {
	c, ok := numberOf(codecNames[:], name)
	return Codec(c), ok
}

// maxDepth limits the nesting of payloads, since a stack overflow ends the process.
const maxDepth = 1000

// unknownCodec returns the error for an unknown codec or compression.
func unknownCodec(what fmt.Stringer) *code.Error {
	return code.Refuse(code.InvalidArgument, code.ReasonUnknownCodec, "unknown "+what.String(), "", "", 0)
}

// invalidPayload returns the error for a payload that cannot be decoded. Its text describes the payload, for peers; its
// cause names the Go type, for operators.
func invalidPayload(codec string, err error) *code.Error {
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

// frameSpace counts the bytes that still fit into a frame.
type frameSpace int

func (r *frameSpace) take(n int) error {
	if *r -= frameSpace(n); *r < 0 {
		return errTooLong
	}
	return nil
}

// sink is a writer that appends to a slice and fails when it gets too long for a frame.
type sink struct {
	frameSpace
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

// appendWith returns dst with what encode writes appended.
func appendWith(dst []byte, encode func(w *sink) error) ([]byte, error) {
	s := sinks.Get().(*sink)
	*s = sink{b: dst, frameSpace: maxPayload}
	err := encode(s)
	out := s.b
	*s = sink{}
	sinks.Put(s)
	return out, err
}

var errEmpty = errors.New("empty")

// typeError reports a JSON value that does not match the Go type it is decoded into.
type typeError struct {
	what   string // in terms of JSON
	goType reflect.Type
}

func (e *typeError) Error() string { return e.what }

var (
	errTooDeep  = errors.New("nested too deeply")
	errMismatch = errors.New("does not match the type that the method takes")
)

var errTooLong = errors.New("too long for a frame")

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

const maxJSONDepth = 10_000 // the limit of the decoder

const maxPayload = 1 << 30 // bytes sent: lengths fit into 32 bits, also where int has no more

// UnknownMemberError reports a member of a JSON payload that its object does not have.
type UnknownMemberError struct {
	Path  string   // JSON pointer, such as /items/0/colour
	Known []string // the members the object can have
}

// Error implements error.
func (e *UnknownMemberError) Error() string { return "unknown member " + quotedPath(e.Path) }

// Name returns the last element of Path.
func (e *UnknownMemberError) Name() string { return jsontext.Pointer(e.Path).LastToken() }

// quotedPath returns a path from a payload, shortened and quoted so that it is safe to log.
func quotedPath(path string) string { return strconv.QuoteToASCII(code.Clip(path, 64)) }
