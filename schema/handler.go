package schema

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/registry"
)

// byHandler makes a service depend on its handler: the handler is one that is compiled in, and the options and the
// exposed methods are those of that one.
func (b *builder) byHandler(s *jsonschema.Schema) {
	if len(b.handlers) == 0 {
		return
	}
	names := &jsonschema.Schema{Type: "string"}
	for _, e := range b.handlers {
		names.Enum = append(names.Enum, e.Name)
		when := having("handler", &jsonschema.Schema{Const: e.Name})
		when.Required = []string{"handler"}
		s.AllOf = append(s.AllOf, &jsonschema.Schema{If: when, Then: b.service(e)})
	}
	if p, ok := s.Properties.Get("handler"); ok {
		p.AnyOf = b.orVariable(names).AnyOf
	}
}

// service is what else holds for a service of this handler.
func (b *builder) service(e *registry.Entry) *jsonschema.Schema {
	options := &jsonschema.Schema{
		Type: "object", MaxProperties: size(0),
		Description: e.Name + " takes no options.",
	}
	if e.Options != nil {
		options = b.object(e.Options)
		options.Description = "Options of " + e.Name + "."
		setDefaults(options, reflect.ValueOf(e.Defaults))
	}
	s := having("options", options)
	if len(e.Methods) > 0 {
		method := &jsonschema.Schema{Type: "string"}
		for _, m := range e.Methods {
			method.Enum = append(method.Enum, m.Name)
		}
		expose := &jsonschema.Schema{Items: b.orVariable(method)}
		s.Properties.Set("methods", having("expose", expose))
	}
	return s
}

// setDefaults shows the defaults that a handler was registered with; a value with nothing in it shows none.
func setDefaults(s *jsonschema.Schema, defaults reflect.Value) {
	if defaults.Kind() == reflect.Pointer {
		defaults = defaults.Elem()
	}
	if !defaults.IsValid() {
		return
	}
	for _, f := range fields(defaults.Type()) {
		name, _ := config.FieldName(f)
		p, ok := s.Properties.Get(name)
		if !ok {
			continue
		}
		v := defaults.FieldByIndex(f.Index)
		if p.Type == "object" && p.Properties != nil {
			setDefaults(p, v)
		} else if !v.IsZero() {
			p.Default = written(v)
		}
	}
}

// written is a value as it would stand in YAML.
func written(v reflect.Value) any {
	switch v := v.Interface().(type) {
	case time.Duration:
		return config.Duration(v).String()
	case config.Duration, config.Bytes, config.Share:
		return fmt.Sprint(v)
	case time.Time:
		return v.Format(time.RFC3339)
	case encoding.TextMarshaler:
		if text, err := v.MarshalText(); err == nil {
			return string(text)
		}
	}
	if out, err := json.Marshal(v.Interface()); err == nil {
		return json.RawMessage(out)
	}
	return nil
}

func having(field string, s *jsonschema.Schema) *jsonschema.Schema {
	object := &jsonschema.Schema{Properties: jsonschema.NewProperties()}
	object.Properties.Set(field, s)
	return object
}
