package admin

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"time"
)

// Service describes a service for its callers.
type Service struct {
	Name    string    `json:"name"`
	Aliases []string  `json:"aliases,omitempty"`
	Handler string    `json:"handler"`
	Package string    `json:"package,omitempty"`
	Ready   bool      `json:"ready"`
	Methods []Method  `json:"methods"`
	Skipped []Skipped `json:"skipped,omitempty"`
	Around  []string  `json:"around,omitempty"` // interceptors, in the order in which they run
}

// Method is one method of a service.
type Method struct {
	Name     string  `json:"name"`
	Args     Shape   `json:"args"`
	Reply    Shape   `json:"reply"`
	Example  Example `json:"example"`
	InFlight int     `json:"in_flight"`
	Routes   []Route `json:"routes,omitempty"`
}

// Example is a call that works as it stands.
type Example struct {
	Body    json.RawMessage `json:"body"`
	Chosen  bool            `json:"chosen,omitempty"` // by the author of the handler, not derived from the type
	Command string          `json:"command,omitempty"`
	Curl    string          `json:"curl,omitempty"`
}

// Route is how a method is called over HTTP.
type Route struct {
	Methods []string `json:"methods"`
	Path    string   `json:"path"`
}

// Skipped is a method of a handler that is not served.
type Skipped struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// maxDepth bounds recursive types.
const maxDepth = 6

// Shape is the JSON form of a Go type.
type Shape struct {
	Type   string  `json:"type"`             // object, array, map, string, number, integer, boolean, bytes, time, any
	Go     string  `json:"go,omitempty"`     // the Go type, such as samples.Args
	Fields []Field `json:"fields,omitempty"` // of an object
	Items  *Shape  `json:"items,omitempty"`  // of an array or a map
}

// Field is one field of an object.
type Field struct {
	Name     string `json:"name"` // in JSON
	Optional bool   `json:"optional,omitempty"`
	Shape
}

var (
	timeType      = reflect.TypeFor[time.Time]()
	textType      = reflect.TypeFor[encoding.TextMarshaler]()
	marshalerType = reflect.TypeFor[json.Marshaler]()
)

// ShapeOf returns the shape of a Go type; a nil type is any.
func ShapeOf(t reflect.Type) Shape { return shapeOf(t, 0) }

func shapeOf(t reflect.Type, depth int) Shape {
	if t == nil {
		return Shape{Type: "any"}
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	s := Shape{Type: typeWord(t)}
	if t.PkgPath() != "" {
		s.Go = t.String()
	}
	if depth >= maxDepth {
		return s
	}
	switch s.Type {
	case "object":
		s.Fields = fieldsOf(t, depth+1)
	case "array", "map":
		items := shapeOf(t.Elem(), depth+1)
		s.Items = &items
	}
	return s
}

func typeWord(t reflect.Type) string {
	switch {
	case t == timeType:
		return "time"
	case t.Implements(textType) || reflect.PointerTo(t).Implements(textType):
		return "string"
	case t.Kind() != reflect.Struct && (t.Implements(marshalerType) || reflect.PointerTo(t).Implements(marshalerType)):
		return "any"
	}
	switch t.Kind() {
	case reflect.Struct:
		return "object"
	case reflect.Map:
		return "map"
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "array"
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		return "any"
	}
	return "integer"
}

func fieldsOf(t reflect.Type, depth int) []Field {
	var fields []Field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" && options == "":
			continue
		case f.Anonymous && name == "":
			fields = append(fields, embedded(f.Type, depth)...)
			continue
		case !f.IsExported():
			continue
		}
		if p := protoName(f.Tag.Get("protobuf")); p != "" {
			name = p
		}
		if name == "" {
			name = f.Name
		}
		fields = append(fields, Field{
			Name: name, Optional: f.Type.Kind() == reflect.Pointer || strings.Contains(options, "omit"), Shape: shapeOf(f.Type, depth),
		})
	}
	return fields
}

func embedded(t reflect.Type, depth int) []Field {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || depth >= maxDepth {
		return nil
	}
	return fieldsOf(t, depth+1)
}

// protoName returns the name that protojson gives to a field of a generated message, whose json tag differs.
func protoName(tag string) string {
	var name string
	for part := range strings.SplitSeq(tag, ",") {
		if n, ok := strings.CutPrefix(part, "json="); ok {
			return n
		}
		if n, ok := strings.CutPrefix(part, "name="); ok {
			name = n
		}
	}
	return name
}
