package schema

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/easymicro/easymicro/config"
)

// definitions are the scalars with a syntax of their own.
var definitions = map[string]jsonschema.Schema{
	"variable": {
		Type: "string", Pattern: `\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}`,
		Description: "${VAR} or ${VAR:-default}, taken from the environment.",
	},
	"duration": {
		AnyOf: []*jsonschema.Schema{
			{Type: "string", Pattern: `^(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`},
			{Type: "integer", Enum: []any{0}},
		},
		Examples: []any{"500ms", "30s", "1m30s"},
	},
	"bytes": {
		AnyOf: []*jsonschema.Schema{
			{Type: "string", Pattern: `^[0-9]+(\.[0-9]+)? ?([KMGT]iB|[kKMGT]?B)$`},
			{Type: "integer", Enum: []any{0}},
		},
		Examples: []any{"64KiB", "4MiB"},
	},
	"share": {
		AnyOf: []*jsonschema.Schema{
			{Type: "string", Pattern: `^(100|[0-9]{1,2})(\.[0-9]+)?%$`},
			{Type: "number", Minimum: "0", Maximum: "1"},
		},
		Examples: []any{"50%", 0.5},
	},
	"address": {
		Type: "string", Pattern: `^((tcp://)?[^/]*:[0-9]+|unix://.+)?$`,
		Examples: []any{"127.0.0.1:8972", "tcp://0.0.0.0:8972", "unix:///run/easymicro.sock"},
	},
	"time": {Type: "string", Format: "date-time", Examples: []any{"2026-12-31T00:00:00Z"}},
}

// ref refers to a definition; every scalar may be a variable instead.
func (b *builder) ref(name string) *jsonschema.Schema {
	b.use(name)
	return b.orVariable(&jsonschema.Schema{Ref: "#/$defs/" + name})
}

func (b *builder) orVariable(s *jsonschema.Schema) *jsonschema.Schema {
	b.use("variable")
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{s, {Ref: "#/$defs/variable"}}}
}

func (b *builder) use(name string) {
	if b.used == nil {
		b.used = jsonschema.Definitions{}
	}
	d := definitions[name]
	b.used[name] = &d
}

// description is the doc of a field with the bounds that only words can say.
func description(f reflect.StructField) string {
	doc, t := f.Tag.Get("doc"), f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if numeric := t == reflect.TypeFor[config.Rate]() || t.PkgPath() == ""; numeric {
		return doc
	}
	low, high := f.Tag.Get("min"), f.Tag.Get("max")
	switch {
	case low != "" && high != "":
		doc += " From " + low + " to " + high + "."
	case low != "":
		doc += " At least " + low + "."
	case high != "":
		doc += " At most " + high + "."
	}
	return strings.TrimSpace(doc)
}

// literal is the text of a default as YAML would have it.
func literal(t reflect.Type, text string) any {
	switch t.Kind() {
	case reflect.Slice:
		list := []any{}
		for _, item := range strings.Split(text, ",") {
			list = append(list, literal(t.Elem(), item))
		}
		return list
	case reflect.Bool:
		return text == "true"
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil && t.Kind() != reflect.String {
		return json.Number(text)
	}
	return text
}

func size(n uint64) *uint64 { return &n }
