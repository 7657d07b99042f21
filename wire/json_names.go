package wire

import (
	"bytes"
	"cmp"
	"encoding"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// unknownMember returns err as an UnknownMemberError, or nil if it is another error.
func unknownMember(err error, data []byte, root *shape) error {
	sem := new(json.SemanticError)
	if errors.Is(err, json.ErrUnknownName) && errors.As(err, &sem) && sem.GoType != nil {
		return &UnknownMemberError{Path: string(sem.JSONPointer), Known: memberNames(sem.GoType)}
	}
	// With allErrors the error is that of encoding/json, without a position.
	if !strings.HasPrefix(err.Error(), "json: unknown field ") {
		return nil
	}
	unknown := new(UnknownMemberError)
	if err := newFieldWalk(data).value(root); errors.As(err, &unknown) {
		return unknown
	}
	return nil
}

// memberNames returns the names of the members of a struct, in the order of its fields.
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

// unknownField returns an UnknownMemberError if data has a name that the message lacks. It ignores invalid JSON.
func unknownField(data []byte, md protoreflect.MessageDescriptor) error {
	var unknown *UnknownMemberError
	if err := newFieldWalk(data).message(md); errors.As(err, &unknown) {
		return unknown
	}
	return nil
}

// ownJSON lists the messages whose JSON object may have members that are not fields.
var ownJSON = map[protoreflect.FullName]bool{
	"google.protobuf.Any": true, "google.protobuf.Struct": true, "google.protobuf.Value": true,
}

// fieldWalk looks for unknown members. Its decoder does not detect duplicate names, which costs memory.
type fieldWalk struct{ *jsontext.Decoder }

func newFieldWalk(data []byte) fieldWalk {
	return fieldWalk{jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))}
}

// value walks one value of a shape.
func (w fieldWalk) value(s *shape) error {
	kind := w.PeekKind()
	if s = s.deref(new(tally)); s == nil {
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

// message walks one value of a message.
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

// elements calls each for every element of an array. each must walk it.
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

// members calls each for every member of an object. each must walk the value.
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

// jsonMember is a member of the JSON object of a struct.
type jsonMember struct {
	name   string
	typ    reflect.Type
	index  []int // of the field
	boxed  int   // bytes of the embedded pointers on the path to it
	tagged bool
	twice  bool // ambiguous, and so ignored
}

// jsonMembers returns the members of a struct and of the structs embedded in it, in the order of the fields, and the type of
// the field for all other members, if any. Of members with the same name the least nested one counts, then the one with a
// tag, otherwise none.
func jsonMembers(t reflect.Type) (members []jsonMember, rest reflect.Type) {
	type embedded struct {
		in    reflect.Type
		index []int
		boxed int
	}
	known, seen := map[string]*jsonMember{}, map[reflect.Type]bool{t: true}
	for queue := []embedded{{in: t}}; len(queue) > 0; queue = queue[1:] {
		for f := range queue[0].in.Fields() {
			tag := f.Tag.Get("json")
			name, options, _ := strings.Cut(tag, ",")
			name = strings.Trim(name, "'")
			index := slices.Concat(queue[0].index, f.Index)
			inner, embed := structBehind(f.Type), strings.Contains(options, "embed")
			switch {
			case tag == "-" || !f.IsExported() && (!f.Anonymous || inner == nil):
			case inner != nil && (embed || f.Anonymous && name == ""):
				if !seen[inner] {
					seen[inner] = true
					queue = append(queue, embedded{inner, index, queue[0].boxed + boxedBy(f.Type)})
				}
			case embed:
				rest = f.Type
			default:
				m := &jsonMember{cmp.Or(name, f.Name), f.Type, index, queue[0].boxed, name != "", false}
				switch old := known[m.name]; {
				case old == nil || len(old.index) == len(index) && m.tagged && !old.tagged:
					known[m.name] = m
				case len(old.index) == len(index) && m.tagged == old.tagged:
					old.twice = true
				}
			}
		}
	}
	for _, m := range known {
		if !m.twice {
			members = append(members, *m)
		}
	}
	slices.SortFunc(members, func(a, b jsonMember) int { return slices.Compare(a.index, b.index) })
	return members, rest
}

// jsonFields adds the members of a struct to its shape.
func jsonFields(s *shaper, r *shape, t reflect.Type) {
	members, rest := jsonMembers(t)
	r.folded, r.direct = map[string]string{}, map[string]int{}
	for _, m := range members {
		inner := s.of(m.typ)
		if inner.kind == asList && len(m.index) == 1 {
			r.direct[m.name] = m.index[0]
		}
		if m.boxed > 0 {
			inner = &shape{kind: asPointer, boxed: m.boxed, elem: inner}
		}
		r.members[m.name] = inner
		folded := foldedName([]byte(m.name))
		r.caseClash = r.caseClash || r.folded[folded] != ""
		r.folded[folded] = m.name
		r.names = append(r.names, m.name)
	}
	if rest != nil {
		if r.rest = s.of(rest); r.rest.kind == asDict {
			r.rest = r.rest.elem
		}
	}
}

// boxedBy returns the size of what an embedded pointer points to, which is allocated with its first member.
func boxedBy(t reflect.Type) int {
	if t.Kind() == reflect.Pointer {
		return rounded(int(t.Elem().Size()))
	}
	return 0
}

var jsonDialect = &dialect{minBytes: 2, grows: true, names: true, fields: jsonFields, own: []reflect.Type{
	reflect.TypeFor[json.Unmarshaler](), reflect.TypeFor[json.UnmarshalerFrom](), reflect.TypeFor[encoding.TextUnmarshaler](),
}}
