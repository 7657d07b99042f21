package wire

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
)

// Messages of vtprotobuf and gogo/protobuf are recognized by their methods, without importing those modules.
type (
	vtAppender interface {
		SizeVT() int
		MarshalToSizedBufferVT(b []byte) (int, error)
	}
	vtMarshaler   interface{ MarshalVT() ([]byte, error) }
	vtUnmarshaler interface{ UnmarshalVT(b []byte) error }

	gogoMarshaler   interface{ Marshal() ([]byte, error) }
	gogoUnmarshaler interface{ Unmarshal(b []byte) error }
)

// vtMaxBytes is the length up to which UnmarshalVT, which has no depth limit, decodes a message that has an alternative.
const vtMaxBytes = 64 << 10

var (
	errNotProto = errors.New("the method does not take or return a protobuf message")
	errBadProto = errors.New("not a valid encoding of this message")
)

func appendProtobuf(dst []byte, v any) ([]byte, error) {
	switch own := v.(type) {
	case vtAppender:
		return appendSized(dst, v, own)
	case vtMarshaler:
		return appendMarshaled(dst, v, own.MarshalVT)
	case gogoMarshaler:
		return appendMarshaled(dst, v, own.Marshal)
	}
	m, ok := protoMessage(v)
	if !ok {
		return dst, errNotProto
	}
	if err := checkMessage(m, false); err != nil {
		return dst, err
	}
	if proto.Size(m) > maxPayload {
		return dst, errTooLong
	}
	return proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(dst, m)
}

func appendSized(dst []byte, v any, own vtAppender) ([]byte, error) {
	if err := codedEncodable.check(v); err != nil {
		return dst, err
	}
	n := own.SizeVT()
	if n > maxPayload {
		return dst, errTooLong
	}
	out := slices.Grow(dst, n)[:len(dst)+n]
	_, err := own.MarshalToSizedBufferVT(out[len(dst):])
	return out, err
}

func appendMarshaled(dst []byte, v any, marshal func() ([]byte, error)) ([]byte, error) {
	if err := codedEncodable.check(v); err != nil {
		return dst, err
	}
	if sized, ok := v.(interface{ Size() int }); ok && sized.Size() > maxPayload {
		return dst, errTooLong
	}
	b, err := marshal()
	return append(dst, b...), err
}

// decodeProtobuf prefers the type's own methods. They have no depth limit, so the depth is checked first.
func decodeProtobuf(data []byte, v any) error {
	if gogo, ok := v.(gogoUnmarshaler); ok {
		if tooDeepFor(v, data) {
			return errTooDeep
		}
		return badProto(gogo.Unmarshal(data))
	}
	m, isMessage := protoMessage(v)
	if vt, ok := v.(vtUnmarshaler); ok && (len(data) <= vtMaxBytes || !isMessage) {
		switch deep := tooDeepFor(v, data); {
		case !deep:
			return badProto(vt.UnmarshalVT(data))
		case !isMessage:
			return errTooDeep
		}
	}
	if !isMessage {
		return errNotProto
	}
	return badProto(proto.UnmarshalOptions{RecursionLimit: maxDepth}.Unmarshal(data, m))
}

func tooDeepFor(v any, data []byte) bool {
	return len(data) > maxDepth && protobufTooDeep(data, 0, nestings.of(reflect.TypeOf(v)))
}

func badProto(err error) error {
	if err != nil {
		return errBadProto
	}
	return nil
}

// protoMessage returns v as a message. Types generated for golang/protobuf before 1.4 or by gogo/protobuf are messages if
// the protobuf module supports their fields.
func protoMessage(v any) (proto.Message, bool) {
	switch m := v.(type) {
	case proto.Message:
		return m, true
	case protoadapt.MessageV1:
		if oldMessage(reflect.TypeOf(v)) {
			return protoadapt.MessageV2Of(m), true
		}
	}
	return nil, false
}

var oldMessages sync.Map // of bool, by type

// oldMessage reports whether the protobuf module can use a type as a message. Beyond pointers to messages, scalars, and
// lists and maps of these, it ignores what gogo/protobuf generates, or panics.
func oldMessage(t reflect.Type) bool {
	known, found := oldMessages.Load(t)
	if !found {
		known, _ = oldMessages.LoadOrStore(t, t.Kind() == reflect.Pointer && plainMessage(t.Elem(), map[reflect.Type]bool{}))
	}
	ok, _ := known.(bool)
	return ok
}

func plainMessage(t reflect.Type, seen map[reflect.Type]bool) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	if seen[t] {
		return true
	}
	seen[t] = true
	for f := range t.Fields() {
		if f.Tag.Get("protobuf") != "" && !plainField(f.Type, seen) {
			return false
		}
	}
	return true
}

func plainField(t reflect.Type, seen map[reflect.Type]bool) bool {
	switch t.Kind() {
	case reflect.Map:
		return plainField(t.Elem(), seen)
	case reflect.Slice:
		return t.Elem().Kind() == reflect.Uint8 || plainField(t.Elem(), seen)
	case reflect.Pointer:
		if t.Elem().Kind() == reflect.Struct {
			return t.Implements(reflect.TypeFor[protoadapt.MessageV1]()) && plainMessage(t.Elem(), seen)
		}
		return plainField(t.Elem(), seen)
	case reflect.Bool, reflect.Int32, reflect.Int64, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64, reflect.String:
		return true
	default:
		return false
	}
}

// WhyNotProtobuf returns why a method cannot be called with protobuf although its types suggest that it should; ""
// otherwise.
func WhyNotProtobuf(args, reply reflect.Type) string {
	servable := func(t reflect.Type) bool {
		v := reflect.New(t).Interface()
		_, marshals := v.(gogoMarshaler)
		_, unmarshals := v.(gogoUnmarshaler)
		_, isMessage := protoMessage(v)
		return isMessage || marshals && unmarshals
	}
	for _, t := range []reflect.Type{args, reply} {
		if _, meant := reflect.New(t).Interface().(protoadapt.MessageV1); meant && !servable(t) {
			return t.String() + " is not a message that protobuf can encode: it has neither methods Marshal and Unmarshal nor only fields with protobuf tags"
		}
	}
	switch hasFields := func(t reflect.Type) bool { return t.Kind() == reflect.Struct && t.NumField() > 0 }; {
	case servable(args) && !servable(reply) && hasFields(reply):
		return args.String() + " is a protobuf message and " + reply.String() + " is not"
	case servable(reply) && !servable(args) && hasFields(args):
		return reply.String() + " is a protobuf message and " + args.String() + " is not"
	}
	return ""
}

// nesting has the fields of a message that may contain messages, by number, as its Go type's tags define them. Without tags
// any length-delimited field may be a message.
type nesting struct {
	fields map[protowire.Number]*nesting
}

var nestings = &typeCache[*nesting]{build: func(t reflect.Type) *nesting {
	return nestingOf(t, map[reflect.Type]*nesting{})
}}

// nestingOf returns the nesting of the messages in a value, which may be behind a pointer or in a list.
func nestingOf(t reflect.Type, made map[reflect.Type]*nesting) *nesting {
	for t != nil && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice) {
		t = t.Elem()
	}
	n, known := made[t]
	if known {
		return n
	}
	n = &nesting{fields: map[protowire.Number]*nesting{}}
	made[t] = n
	if t == nil || t.Kind() != reflect.Struct || !n.add(t, made) {
		n.fields = nil
	}
	return n
}

// add adds the fields of a struct, and reports whether its tags cover them all.
func (n *nesting) add(t reflect.Type, made map[reflect.Type]*nesting) bool {
	tagged := false
	for f := range t.Fields() {
		if f.Tag.Get("protobuf_oneof") != "" {
			if !n.addOneof(t, made) {
				return false
			}
			tagged = true
			continue
		}
		parts := strings.Split(f.Tag.Get("protobuf"), ",")
		if len(parts) < 2 {
			if f.Anonymous {
				return false
			}
			continue
		}
		number, err := strconv.Atoi(parts[1])
		if err != nil {
			return false
		}
		tagged = true
		if parts[0] == "bytes" || parts[0] == "group" {
			n.addField(protowire.Number(number), f.Type, made)
		}
	}
	return tagged
}

func (n *nesting) addField(number protowire.Number, t reflect.Type, made map[reflect.Type]*nesting) {
	switch {
	case isText(t):
	case t.Kind() != reflect.Map:
		n.fields[number] = nestingOf(t, made)
	case !isText(t.Elem()):
		n.fields[number] = &nesting{map[protowire.Number]*nesting{2: nestingOf(t.Elem(), made)}} // an entry
	default:
	}
}

// addOneof adds the fields of a struct's oneofs, whose wrappers are structs.
func (n *nesting) addOneof(t reflect.Type, made map[reflect.Type]*nesting) bool {
	m, ok := reflect.New(t).Interface().(interface{ XXX_OneofWrappers() []any })
	if !ok {
		return false
	}
	for _, wrapper := range m.XXX_OneofWrappers() {
		if w := reflect.TypeOf(wrapper); w.Kind() != reflect.Pointer || w.Elem().Kind() != reflect.Struct || !n.add(w.Elem(), made) {
			return false
		}
	}
	return true
}

// isText reports whether t is a string, bytes or a number, or a list of these.
func isText(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return isText(t.Elem())
	case reflect.Struct, reflect.Map, reflect.Interface, reflect.Array:
		return false
	default:
		return true
	}
}

// in returns the nesting of a field, and whether the field may contain messages at all.
func (n *nesting) in(number protowire.Number) (inner *nesting, messages bool) {
	if n == nil || n.fields == nil {
		return nil, true
	}
	inner, messages = n.fields[number]
	return inner, messages
}

// protobufTooDeep reports whether data nests messages or groups beyond maxDepth. It stops at malformed data, as the decoder
// does.
func protobufTooDeep(data []byte, depth int, n *nesting) bool {
	if depth == maxDepth {
		return true
	}
	groups := []*nesting{n} // the message and its open groups
	for len(data) > 0 {
		number, kind, k := protowire.ConsumeTag(data)
		if k < 0 {
			return false
		}
		data = data[k:]
		inner, messages := groups[len(groups)-1].in(number)
		switch kind {
		case protowire.StartGroupType:
			if groups = append(groups, inner); depth+len(groups) > maxDepth {
				return true
			}
			continue
		case protowire.EndGroupType:
			if groups = groups[:len(groups)-1]; len(groups) == 0 {
				return false
			}
			continue
		default: // has a value
		}
		if k = protowire.ConsumeFieldValue(number, kind, data); k < 0 {
			return false
		}
		if kind == protowire.BytesType && messages {
			if value, _ := protowire.ConsumeBytes(data[:k]); protobufTooDeep(value, depth+len(groups), inner) {
				return true
			}
		}
		data = data[k:]
	}
	return false
}
