package schema

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/registry"
)

// builder makes the schema of one document.
type builder struct {
	handlers []*registry.Entry
	services []string
	used     jsonschema.Definitions // the definitions that the document refers to
}

// object describes a struct: strictly, as config decodes it.
func (b *builder) object(t reflect.Type) *jsonschema.Schema {
	s := &jsonschema.Schema{
		Type:                 "object",
		Properties:           jsonschema.NewProperties(),
		AdditionalProperties: jsonschema.FalseSchema,
	}
	for _, f := range fields(t) {
		name, ok := config.FieldName(f)
		if !ok {
			continue
		}
		property := b.field(f)
		if property == nil {
			continue
		}
		s.Properties.Set(name, property)
		if f.Tag.Get("required") == "true" {
			s.Required = append(s.Required, name)
		}
	}
	b.shape(t, s)
	return s
}

// fields are those of a struct and of the structs inlined into it, with the indexes from the outermost.
func fields(t reflect.Type) []reflect.StructField {
	var all []reflect.StructField
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("yaml")
		if f.Type.Kind() != reflect.Struct || !strings.Contains(tag, ",inline") && (!f.Anonymous || tag != "") {
			all = append(all, f)
			continue
		}
		for _, inner := range fields(f.Type) {
			inner.Index = append([]int{i}, inner.Index...)
			all = append(all, inner)
		}
	}
	return all
}

// field describes one key with what its tags say; nil is for one that may not be written yet.
func (b *builder) field(f reflect.StructField) *jsonschema.Schema {
	if f.Tag.Get("later") == "true" {
		return later(f)
	}
	s := b.value(f.Type, f.Tag)
	s.Description = description(f)
	if text, ok := f.Tag.Lookup("default"); ok {
		s.Default = literal(f.Type, text)
	}
	return s
}

// value describes a value by its type; the tags are those of the field around it.
func (b *builder) value(t reflect.Type, tag reflect.StructTag) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[config.Duration](), reflect.TypeFor[time.Duration]():
		return b.ref("duration")
	case reflect.TypeFor[config.Bytes]():
		return b.ref("bytes")
	case reflect.TypeFor[config.Share]():
		return b.ref("share")
	case reflect.TypeFor[config.Address]():
		return b.ref("address")
	case reflect.TypeFor[config.Rate]():
		return b.orVariable(&jsonschema.Schema{Type: "number", ExclusiveMinimum: "0"})
	case reflect.TypeFor[time.Time]():
		return b.ref("time")
	case reflect.TypeFor[config.RawOptions]():
		return &jsonschema.Schema{Type: "object"}
	case reflect.TypeFor[config.Patterns](), reflect.TypeFor[config.Key]():
		one := b.text(tag)
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{one, {Type: "array", Items: one, MinItems: size(1)}}}
	case reflect.TypeFor[config.Exceptions]():
		one := b.value(t.Elem(), tag)
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{one, {Type: "array", Items: one, MinItems: size(1)}}}
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, {Type: "number"}, {Type: "boolean"}}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return b.value(t.Elem(), tag)
	case reflect.Struct:
		return b.object(t)
	case reflect.Slice, reflect.Array:
		return &jsonschema.Schema{Type: "array", Items: b.value(t.Elem(), tag)}
	case reflect.Map:
		return &jsonschema.Schema{Type: "object", AdditionalProperties: b.value(t.Elem(), tag)}
	case reflect.Bool:
		return b.orVariable(&jsonschema.Schema{Type: "boolean"})
	case reflect.Float32, reflect.Float64:
		return b.number("number", tag)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return b.number("integer", tag)
	case reflect.String:
		return b.text(tag)
	default:
		return &jsonschema.Schema{} // an interface takes anything
	}
}

func (b *builder) number(kind string, tag reflect.StructTag) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: kind}
	s.Minimum, s.Maximum = json.Number(tag.Get("min")), json.Number(tag.Get("max"))
	return b.orVariable(s)
}

// text describes a string: one of an enum, or of a pattern, or any.
func (b *builder) text(tag reflect.StructTag) *jsonschema.Schema {
	if enum, ok := tag.Lookup("enum"); ok {
		var later []string
		if list := tag.Get("laterEnum"); list != "" {
			later = strings.Split(list, ",")
		}
		s := &jsonschema.Schema{Type: "string"}
		for _, v := range strings.Split(enum, ",") {
			if !slices.Contains(later, v) {
				s.Enum = append(s.Enum, v)
			}
		}
		return b.orVariable(s)
	}
	return b.pattern(tag.Get("pattern"))
}
