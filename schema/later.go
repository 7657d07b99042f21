package schema

import (
	"reflect"

	"github.com/invopop/jsonschema"

	"github.com/easymicro/easymicro/config"
)

// later describes a field that is not supported yet: config takes it as long as it says what holds anyway, and refuses
// the rest. It is nil where nothing can be said.
func later(f reflect.StructField) *jsonschema.Schema {
	s := &jsonschema.Schema{Description: "Not supported yet. " + f.Tag.Get("doc")}
	if word, ok := f.Tag.Lookup("scalar"); ok {
		s.Enum = []any{word}
		return s
	}
	if text, ok := f.Tag.Lookup("default"); ok {
		s.Enum = []any{literal(f.Type, text)}
	}
	switch f.Type.Kind() {
	case reflect.Slice:
		if f.Type == reflect.TypeFor[config.Patterns]() {
			return nil
		}
		s.Type, s.MaxItems = "array", size(0)
	case reflect.Map:
		s.Type, s.MaxProperties = "object", size(0)
	case reflect.String:
		s.Enum = unique(append(s.Enum, ""))
	case reflect.Bool:
		s.Enum = unique(append(s.Enum, false))
	case reflect.Pointer, reflect.Struct:
		return nil
	default:
		s.Enum = unique(append(s.Enum, 0))
	}
	return s
}

func unique(list []any) []any {
	var once []any
	seen := map[any]bool{}
	for _, v := range list {
		if !seen[v] {
			once = append(once, v)
		}
		seen[v] = true
	}
	return once
}
