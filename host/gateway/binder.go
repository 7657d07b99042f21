package gateway

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// binder knows the members of a method's argument, to make JSON of names and texts. It is made once, by reflection.
type binder struct {
	members map[string]*member // by exact name
	folded  map[string]*member // by name in lower case, for the spellings that the JSON codec would take
	known   []string           // the exact names in the order of the fields
	any     *member            // what every name is, for maps
}

// textBinder is for arguments whose type nobody here knows: whatever they have is a text.
var textBinder = &binder{any: &member{value: scalar{form: asString}}}

// member is one top-level member of an argument.
type member struct {
	name  string
	order int
	value scalar
	list  bool
}

var (
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
)

// newBinder makes the binder of an argument's type.
func newBinder(args reflect.Type) (*binder, error) {
	if args == nil {
		return nil, errors.New("the type of its argument is not known")
	}
	for args.Kind() == reflect.Pointer {
		args = args.Elem()
	}
	b := &binder{members: make(map[string]*member), folded: make(map[string]*member)}
	switch {
	case args.Kind() == reflect.Map && args.Key().Kind() == reflect.String:
		b.any = newMember("", args.Elem())
		return b, nil
	case args.Kind() != reflect.Struct || implements(args, jsonUnmarshaler) || implements(args, textUnmarshaler):
		return nil, fmt.Errorf("its argument %s has no members", args)
	}
	b.addFields(args, nil)
	return b, nil
}

func implements(t, iface reflect.Type) bool {
	return t.Implements(iface) || reflect.PointerTo(t).Implements(iface)
}

// addFields adds the fields of a struct; those of embedded structs come last, so that outer names win as in JSON.
func (b *binder) addFields(t reflect.Type, outer []reflect.Type) {
	if slices.Contains(outer, t) {
		return
	}
	outer = append(outer, t)
	var embedded []reflect.Type
	for f := range fields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" && options == "" {
			continue
		}
		if f.Anonymous && name == "" {
			if e := indirect(f.Type); e.Kind() == reflect.Struct {
				embedded = append(embedded, e)
				continue
			}
		}
		if !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		m := newMember(name, f.Type)
		m.value.quoted = !m.list && slices.Contains(strings.Split(options, ","), "string")
		b.add(name, m)
		if alias := protoJSONName(f.Tag.Get("protobuf")); alias != "" {
			b.alias(alias, m)
		}
	}
	for _, e := range embedded {
		b.addFields(e, outer)
	}
}

func fields(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

func indirect(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

func (b *binder) add(name string, m *member) {
	if _, taken := b.members[name]; taken {
		return
	}
	m.order = len(b.known)
	b.known = append(b.known, name)
	b.alias(name, m)
}

func (b *binder) alias(name string, m *member) {
	if _, taken := b.members[name]; !taken {
		b.members[name] = m
	}
	if _, taken := b.folded[strings.ToLower(name)]; !taken {
		b.folded[strings.ToLower(name)] = m
	}
}

// member finds what a parameter stands for.
func (b *binder) member(name string) (*member, bool) {
	if b.any != nil {
		return &member{name: name, value: b.any.value, list: b.any.list}, true
	}
	if m, ok := b.members[name]; ok {
		return m, true
	}
	m, ok := b.folded[strings.ToLower(name)]
	return m, ok
}

// protoJSONName is the JSON name in the field tag of a generated protobuf message; "" if it has none of its own.
func protoJSONName(tag string) string {
	for part := range strings.SplitSeq(tag, ",") {
		if name, ok := strings.CutPrefix(part, "json="); ok {
			return name
		}
	}
	return ""
}

func newMember(name string, t reflect.Type) *member {
	t = indirect(t)
	m := &member{name: name}
	isList := t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8 || t.Kind() == reflect.Array
	if isList && !implements(t, jsonUnmarshaler) && !implements(t, textUnmarshaler) {
		m.list, t = true, indirect(t.Elem())
	}
	m.value = scalarOf(t)
	return m
}
