package wire

import (
	"bytes"
	"errors"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/easymicro/easymicro/wire/code"
)

// UnknownMemberError is a member of a JSON payload that its object does not have.
type UnknownMemberError struct {
	Path  string   // a JSON pointer: /items/0/colour
	Known []string // the members that the object has
}

// Error says where the member is.
func (e *UnknownMemberError) Error() string { return "unknown member " + quotedPath(e.Path) }

// Name returns the name of the member.
func (e *UnknownMemberError) Name() string { return jsontext.Pointer(e.Path).LastToken() }

// DecodeKnown decodes like DecodeHTTP and returns an UnknownMemberError for a member that v does not have, in the chain of
// the error. Types that decode themselves, maps and the like have no unknown members, and what is in a
// google.protobuf.Any is not looked at.
func DecodeKnown(data []byte, v any) error {
	return new(Decoding).DecodeKnown(data, v)
}

// unknownMember is what is wrong with the name of a member, or nil if that is not what is wrong.
func unknownMember(err error, data []byte, root *shape) error {
	sem := new(json.SemanticError)
	if errors.Is(err, json.ErrUnknownName) && errors.As(err, &sem) && sem.GoType != nil {
		return &UnknownMemberError{Path: string(sem.JSONPointer), Known: memberNames(sem.GoType)}
	}
	// Where all errors are collected this one is as encoding/json has it, without its place.
	if !strings.HasPrefix(err.Error(), "json: unknown field ") {
		return nil
	}
	unknown := new(UnknownMemberError)
	if err := newFieldWalk(data).value(root); errors.As(err, &unknown) {
		return unknown
	}
	return nil
}

// memberNames are the names of the members of a struct, in the order of its fields.
func memberNames(t reflect.Type) []string {
	if t = structBehind(t); t == nil {
		return nil
	}
	members, _ := jsonMembers(t)
	names := make([]string, len(members))
	for i := range members {
		names[i] = members[i].name
	}
	return names
}

// unknownField looks for a name that a message does not have. What is no JSON is left to the decoder.
func unknownField(data []byte, md protoreflect.MessageDescriptor) error {
	var unknown *UnknownMemberError
	if err := newFieldWalk(data).message(md); errors.As(err, &unknown) {
		return unknown
	}
	return nil
}

// ownJSON are the messages whose JSON may be an object that has not their fields for members.
var ownJSON = map[protoreflect.FullName]bool{
	"google.protobuf.Any": true, "google.protobuf.Struct": true, "google.protobuf.Value": true,
}

// fieldWalk reads JSON without remembering the names in it.
type fieldWalk struct{ *jsontext.Decoder }

func newFieldWalk(data []byte) fieldWalk {
	return fieldWalk{jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))}
}

// value walks one value of a shape.
func (w fieldWalk) value(s *shape) error {
	kind := w.PeekKind()
	if s = s.behind(new(bill)); s == nil {
		return w.SkipValue()
	}
	switch {
	case s.kind == asRecord && s.rest == nil && kind == '{':
		return w.members(func(name string) error {
			m, _ := s.member([]byte(name))
			if m == nil {
				return &UnknownMemberError{Path: string(w.StackPointer()), Known: s.names}
			}
			return w.value(m)
		})
	case s.kind == asDict && kind == '{':
		return w.members(func(string) error { return w.value(s.elem) })
	case (s.kind == asList || s.kind == asArray) && kind == '[':
		return w.elements(func() error { return w.value(s.elem) })
	}
	return w.SkipValue()
}

// message walks one value that stands for a message.
func (w fieldWalk) message(md protoreflect.MessageDescriptor) error {
	if w.PeekKind() != '{' || ownJSON[md.FullName()] {
		return w.SkipValue()
	}
	return w.members(func(name string) error {
		if strings.HasPrefix(name, "[") { // an extension
			return w.SkipValue()
		}
		fd := md.Fields().ByJSONName(name)
		if fd == nil {
			fd = md.Fields().ByTextName(name)
		}
		if fd == nil {
			return &UnknownMemberError{Path: string(w.StackPointer()), Known: fieldNames(md)}
		}
		return w.field(fd)
	})
}

func (w fieldWalk) field(fd protoreflect.FieldDescriptor) error {
	switch kind := w.PeekKind(); {
	case fd.IsMap() && fd.MapValue().Message() != nil && kind == '{':
		return w.members(func(string) error { return w.message(fd.MapValue().Message()) })
	case fd.IsMap() || fd.Message() == nil:
		return w.SkipValue()
	case fd.IsList() && kind == '[':
		return w.elements(func() error { return w.message(fd.Message()) })
	}
	return w.message(fd.Message())
}

// elements calls each for every element of an array, to walk it.
func (w fieldWalk) elements(each func() error) error {
	if _, err := w.ReadToken(); err != nil {
		return err
	}
	for w.PeekKind() != ']' {
		if err := each(); err != nil {
			return err
		}
	}
	_, err := w.ReadToken()
	return err
}

// members calls each behind every name of an object, to walk its value.
func (w fieldWalk) members(each func(name string) error) error {
	if _, err := w.ReadToken(); err != nil {
		return err
	}
	for w.PeekKind() != '}' {
		name, err := w.ReadToken()
		if err != nil {
			return err
		}
		if err := each(name.String()); err != nil {
			return err
		}
	}
	_, err := w.ReadToken()
	return err
}

func fieldNames(md protoreflect.MessageDescriptor) []string {
	known := make([]string, md.Fields().Len())
	for i := range known {
		known[i] = md.Fields().Get(i).JSONName()
	}
	return known
}

// quotedPath shows a place in a payload: bounded, and without what could break a line of a log.
func quotedPath(path string) string {
	const most = 64
	return strconv.QuoteToASCII(code.Clip(path, most))
}
