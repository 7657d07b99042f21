package registry

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
)

// Example is a value to encode as JSON that shows the shape of the method's argument, such as {"a":0,"b":0}.
func (m *Method) Example() any { return Example(m.Args) }

// Example is a value to encode as JSON that shows the shape of t: the names that JSON has in their order, nothing left
// out because it is empty, one element in each list and map. A type within itself, and what nests too deep, is null.
func Example(t reflect.Type) any { return example(t, nil) }

const maxExampleDepth = 12

// example shows t inside of the types that path leads through.
func example(t reflect.Type, path []reflect.Type) any {
	if v, ok := marshaled(t); ok {
		return v
	}
	if len(path) == maxExampleDepth {
		return nil
	}
	for _, outer := range path {
		if outer == t && t.Kind() == reflect.Struct {
			return nil
		}
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

// marshaled is the zero value of a type that encodes itself, such as time.Time. One that cannot do so for its zero
// value is shown as null.
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

// quoted is how the tag option "string" shows a scalar.
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
