package gateway

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/easymicro/easymicro/wire/code"
)

// binder converts parameters to the JSON argument of a method, whose members it found by reflection.
type binder struct {
	members map[string]*member // by exact name
	folded  map[string]*member // by lower-case name, for the spellings that the JSON codec would accept
	known   []string           // the exact names in the order of the fields
	any     *member            // for any name, of maps
}

// textBinder is for arguments whose type is not known: every member is a string.
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

// newBinder returns the binder of an argument's type.
func newBinder(args reflect.Type) (*binder, error) {
	if args == nil {
		return nil, errors.New("the type of its argument is unknown")
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

// addFields adds the fields of a struct, those of embedded structs last: outer names take precedence as in JSON.
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

// member returns the member that a parameter names.
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

// protoJSONName returns the JSON name in the field tag of a generated protobuf message; "" if it has none.
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

// form determines how text is written as a JSON value.
type form byte

const (
	asString form = iota
	asBool
	asInt
	asUint
	asFloat
	asEnum  // a number or a name
	asJSON  // an object or a list, as JSON
	asLoose // JSON if it is valid, else a string: the type parses it
)

var formNames = [...]string{
	asString: "a string", asBool: "true or false", asInt: "an integer", asUint: "an integer of 0 or more",
	asFloat: "a number", asEnum: "a name or a number", asJSON: "a JSON value", asLoose: "a string",
}

// scalar is one value of a member.
type scalar struct {
	form   form
	bits   int
	quoted bool // a number or bool in a JSON string (`json:",string"`)
}

func scalarOf(t reflect.Type) scalar {
	_, isMessage := reflect.PointerTo(t).MethodByName("ProtoReflect")
	switch {
	case implements(t, jsonUnmarshaler) || isMessage || t == reflect.TypeFor[json.Number]():
		return scalar{form: asLoose}
	case implements(t, textUnmarshaler):
		return scalar{form: asString}
	}
	switch t.Kind() {
	case reflect.Bool:
		return scalar{form: asBool}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if _, isEnum := t.MethodByName("EnumDescriptor"); isEnum {
			return scalar{form: asEnum, bits: 32}
		}
		return scalar{form: asInt, bits: t.Bits()}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return scalar{form: asUint, bits: t.Bits()}
	case reflect.Float32, reflect.Float64:
		return scalar{form: asFloat, bits: t.Bits()}
	case reflect.Interface:
		return scalar{form: asLoose}
	case reflect.Struct, reflect.Map, reflect.Array:
		return scalar{form: asJSON}
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 { // bytes are base64 in JSON
			return scalar{form: asJSON}
		}
	}
	return scalar{form: asString}
}

// append adds text as a JSON value; ok is false if it does not have that form.
func (s scalar) append(dst []byte, text string) (_ []byte, ok bool) {
	if !utf8.ValidString(text) {
		return dst, false
	}
	if s.quoted && s.form != asString {
		dst, ok = scalar{form: s.form, bits: s.bits}.append(append(dst, '"'), text)
		return append(dst, '"'), ok
	}
	switch s.form {
	case asString:
	case asBool:
		return append(dst, text...), text == "true" || text == "false"
	case asInt:
		n, err := strconv.ParseInt(text, 10, s.bits)
		return strconv.AppendInt(dst, n, 10), err == nil
	case asUint:
		n, err := strconv.ParseUint(text, 10, s.bits)
		return strconv.AppendUint(dst, n, 10), err == nil
	case asFloat:
		n, err := strconv.ParseFloat(text, s.bits)
		if err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
			return dst, false
		}
		return strconv.AppendFloat(dst, n, 'g', -1, s.bits), true
	case asEnum:
		if n, err := strconv.ParseInt(text, 10, s.bits); err == nil {
			return strconv.AppendInt(dst, n, 10), true
		}
	case asJSON:
		return append(dst, text...), json.Valid([]byte(text))
	case asLoose:
		if json.Valid([]byte(text)) {
			return append(dst, text...), true
		}
	}
	return appendString(dst, text), true
}

func appendString(dst []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // never fails for a string
	return append(dst, quoted...)
}

// object appends a JSON object with the parameters that are members. what describes a mistake in them, without their
// values.
func (b *binder) object(dst []byte, query url.Values) (_ []byte, what string) {
	given := make(map[string][]string, len(query))
	var found []*member
	for _, name := range slices.Sorted(maps.Keys(query)) {
		m, ok := b.member(name)
		if !ok {
			continue
		}
		if given[m.name] == nil {
			found = append(found, m)
		}
		given[m.name] = append(given[m.name], query[name]...)
	}
	slices.SortStableFunc(found, func(a, b *member) int { return a.order - b.order })

	dst = append(dst, '{')
	for i, m := range found {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, m.name)
		dst = append(dst, ':')
		if dst, what = m.append(dst, given[m.name]); what != "" {
			return dst, what
		}
	}
	return append(dst, '}'), ""
}

func (m *member) append(dst []byte, values []string) (_ []byte, what string) {
	if !m.list {
		if len(values) > 1 {
			return dst, fmt.Sprintf("parameter %q is given more than once", m.name)
		}
		dst, ok := m.value.append(dst, values[0])
		if !ok {
			return dst, fmt.Sprintf("parameter %q is not %s", m.name, formNames[m.value.form])
		}
		return dst, ""
	}
	dst = append(dst, '[')
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		var ok bool
		if dst, ok = m.value.append(dst, v); !ok {
			return dst, fmt.Sprintf("parameter %q has a value that is not %s", m.name, formNames[m.value.form])
		}
	}
	return append(dst, ']'), ""
}

// unknown describes the first parameter that is not a member; "" without one.
func (b *binder) unknown(query url.Values, nearest func(string, []string) string) string {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if _, ok := b.member(name); !ok {
			return fmt.Sprintf("unknown parameter %q", code.Clip(name, 64)) + Instead(name, b.known, nearest)
		}
	}
	return ""
}

// maxKnown bounds how many known names an error lists.
const maxKnown = 20

// Instead returns the end of an error about an unknown name: the name that was probably meant, according to nearest, or
// else the known names.
func Instead(name string, known []string, nearest func(word string, known []string) string) string {
	if n := nearest(name, known); n != "" {
		return " (did you mean " + n + "?)"
	}
	switch {
	case len(known) == 0:
		return ", there are none"
	case len(known) > maxKnown:
		return ", known are " + strings.Join(known[:maxKnown], ", ") + " and more"
	}
	return ", known are " + strings.Join(known, ", ")
}
