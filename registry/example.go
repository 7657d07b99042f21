package registry

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

const maxExampleDepth = 12

// example returns a value whose JSON shows the shape of t: all names in order, none omitted because it is empty, and one
// element in each list and map. Recursive types and types nested too deep are null. path has the types around t.
func example(t reflect.Type, path []reflect.Type) any {
	if v, ok := marshaled(t); ok {
		return v
	}
	if len(path) == maxExampleDepth {
		return nil
	}
	if t.Kind() == reflect.Struct && slices.Contains(path, t) {
		return nil
	}
	inner := append(slices.Clip(path), t)
	switch t.Kind() {
	case reflect.Pointer:
		return example(t.Elem(), inner)
	case reflect.Slice, reflect.Array:
		return exampleList(t, inner)
	case reflect.Map:
		return exampleMap(t, inner)
	case reflect.Struct:
		o := object{}
		for _, f := range jsonFields(t) {
			o = append(o, member{f.name, f.example(inner)})
		}
		return o
	case reflect.Interface:
		return nil
	default:
		if !encodable(t) {
			return nil
		}
		return reflect.Zero(t).Interface()
	}
}

func exampleList(t reflect.Type, path []reflect.Type) any {
	if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
		return "" // JSON has bytes as base64
	}
	if element := example(t.Elem(), path); element != nil {
		return []any{element}
	}
	return []any{}
}

func exampleMap(t reflect.Type, path []reflect.Type) any {
	value := example(t.Elem(), path)
	if value == nil && t.Elem().Kind() != reflect.Interface {
		return object{}
	}
	key := "key"
	if k := t.Key(); k.Kind() != reflect.String {
		key = "0"
		if text, ok := reflect.Zero(k).Interface().(encoding.TextMarshaler); ok {
			b, _ := text.MarshalText()
			key = string(b)
		}
	}
	return object{{key, value}}
}

// marshaled returns the zero value of a type that encodes itself, such as time.Time, or null if that fails.
func marshaled(t reflect.Type) (v any, ok bool) {
	zero := reflect.New(t).Interface()
	switch zero.(type) {
	case *json.Number:
		return 0, true
	case json.Marshaler, encoding.TextMarshaler:
	default:
		return nil, false
	}
	defer func() {
		if recover() != nil {
			v, ok = nil, true
		}
	}()
	b, err := json.Marshal(zero)
	if err != nil {
		return nil, true
	}
	return json.RawMessage(b), true
}

// quoted returns a scalar as the tag option "string" encodes it.
func quoted(v any) any {
	switch v.(type) {
	case object, []any, json.RawMessage, nil:
		return v
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return string(b)
}

// object is a JSON object whose members keep their order.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members in their order.
func (o object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, name...), ':'), value...)
	}
	return append(b, '}'), nil
}

// jsonField is a field of a struct as encoding/json sees it.
type jsonField struct {
	name   string
	tagged bool
	quoted bool
	depth  int // of the embedded struct that has it
	typ    reflect.Type
}

func (f jsonField) example(path []reflect.Type) any {
	v := example(f.typ, path)
	if f.quoted {
		return quoted(v)
	}
	return v
}

// jsonFields returns the fields of a struct and of the structs embedded in it, by the rules of encoding/json: of several
// fields with one name the shallowest counts, or else the only tagged one, or else none.
func jsonFields(t reflect.Type) []jsonField {
	all := collectFields(t, nil, nil)
	best := map[string]jsonField{}
	count := map[string]int{}
	for _, f := range all {
		b, seen := best[f.name]
		switch {
		case !seen || f.depth < b.depth || f.depth == b.depth && f.tagged && !b.tagged:
			best[f.name], count[f.name] = f, 1
		case f.depth == b.depth && f.tagged == b.tagged:
			count[f.name]++
		}
	}
	fields := all[:0]
	for _, f := range all {
		if f == best[f.name] && count[f.name] == 1 {
			fields = append(fields, f)
		}
	}
	return fields
}

// collectFields appends the fields of t, which is embedded in the structs of path.
func collectFields(t reflect.Type, path []reflect.Type, fields []jsonField) []jsonField {
	if slices.Contains(path, t) {
		return fields
	}
	inner := append(slices.Clip(path), t)
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		if tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if f.Anonymous && name == "" {
			if s := structOf(f.Type); s != nil {
				fields = collectFields(s, inner, fields)
				continue
			}
		}
		if !f.IsExported() || !encodable(f.Type) {
			continue
		}
		field := jsonField{name: name, tagged: name != "", depth: len(path), typ: f.Type}
		if name == "" {
			field.name = f.Name
		}
		field.quoted = strings.Contains(","+options+",", ",string,")
		fields = append(fields, field)
	}
	return fields
}

func structOf(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return t
}

func encodable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		return false
	default:
		return true
	}
}
