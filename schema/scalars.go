package schema

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/code"
)

// variable matches a variable, which is accepted in place of any scalar.
const variable = `\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}`

// patterns are regular expressions that approximate the `pattern` tags of config.
var patterns = map[string]string{
	"name":        `^[A-Za-z0-9._-]{1,64}$`,
	"interceptor": `^[A-Za-z0-9._-]{1,64}$`,
	"handler":     `^[A-Za-z0-9._/-]{1,128}$`,
	"hostname":    `^[A-Za-z0-9._-]{1,253}$`,
	"service":     `^[^\s/*]{1,255}$`,
	"method":      `^[^\s/*]{1,255}$`,
	"caller":      `^[^\s*]{1,255}$`,
	"path":        `^/[^\s{}]*$`,
	"hashOn":      `^(metadata|argument)\.\S{1,128}$`,
	"key":         `^(caller|method|peer(/([1-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))?|metadata\.\S{1,128}|identity\.[A-Za-z][A-Za-z0-9_-]{0,63})$`,
	"glob":        `^[^\s/|()!,?{\[^]([^\s/|(),?{\[]{0,253}[^\s/|(),?{\[$])?$`,
	"callerGlob":  `^\S{1,255}$`,
	"cidr":        `^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$`,
	"ip":          `^[0-9A-Fa-f.:]+$`,
	"proxy":       `^(unix|[0-9A-Fa-f.:]+(/[0-9]{1,3})?)$`,
	"claim":       `^[^\x00-\x1f\x7f]{1,255}$`,
	"claimGlob":   `^[^\x00-\x1f\x7f!,?{\[]([^\x00-\x1f\x7f,?{\[]{0,254})$`,
}

// definitions are the scalars with their own syntax.
var definitions = map[string]func() *jsonschema.Schema{
	"duration": func() *jsonschema.Schema {
		s := textOrNumber(`^(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`, &jsonschema.Schema{Const: 0},
			"a duration with its unit, such as 500ms or 1m30s")
		s.Examples = []any{"500ms", "30s", "1m30s"}
		return s
	},
	"bytes": func() *jsonschema.Schema {
		s := textOrNumber(`^[0-9]+(\.[0-9]+)? ?([KMGT]iB|[kKMGT]?B)$`, &jsonschema.Schema{Const: 0}, "a size with its unit, such as 64KiB or 4MiB")
		s.Examples = []any{"64KiB", "4MiB"}
		return s
	},
	"memoryLimit": func() *jsonschema.Schema {
		s := text(`^(auto|off|[0-9]+(\.[0-9]+)? ?([KMGT]iB|[kKMGT]?B))$`, "auto, off, or a size with its unit, such as 1GiB")
		s.Examples = []any{"auto", "off", "1GiB"}
		return s
	},
	"ratio": func() *jsonschema.Schema {
		s := textOrNumber(`^(100|[0-9]{1,2})(\.[0-9]+)?%$`, &jsonschema.Schema{Minimum: "0", Maximum: "1"}, "a ratio, such as 50% or 0.5")
		s.Examples = []any{"50%", 0.5}
		return s
	},
	"address": func() *jsonschema.Schema {
		s := text(`^((tcp://)?[^/]*:[0-9]+|unix://.+|systemd:[^:/ ]+)?$`, `an address, such as "127.0.0.1:8972" or unix:///run/easymicro.sock`)
		s.Examples = []any{"127.0.0.1:8972", "tcp://0.0.0.0:8972", "unix:///run/easymicro.sock"}
		return s
	},
	"time": func() *jsonschema.Schema {
		s := &jsonschema.Schema{Type: "string", Format: "date-time", Examples: []any{"2026-12-31T00:00:00Z"}}
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{withMessage(s, "a time, such as 2026-12-31T00:00:00Z"), variableSchema()}}
	},
}

// withMessage replaces the message of yaml-language-server.
func withMessage(s *jsonschema.Schema, message string) *jsonschema.Schema {
	if s.Extras == nil {
		s.Extras = map[string]any{}
	}
	s.Extras["errorMessage"] = message
	return s
}

func variableSchema() *jsonschema.Schema {
	// With a description of its own, yaml-language-server still shows that of the field for a known word.
	return &jsonschema.Schema{Type: "string", Pattern: variable, Description: "${VAR} or ${VAR:-default}, taken from the environment."}
}

// text describes a string of a form, or a variable. With one pattern for both, unlike anyOf, editors show the
// description of the field.
func text(form, message string) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	if form != "" {
		s.Pattern = form + "|" + variable
	}
	if message != "" {
		withMessage(s, message)
	}
	return s
}

// textOrNumber describes a string of a form, a variable, or a number.
func textOrNumber(form string, of *jsonschema.Schema, message string) *jsonschema.Schema {
	return &jsonschema.Schema{
		If:   &jsonschema.Schema{Type: "number"},
		Then: withMessage(of, message),
		Else: text(form, message),
	}
}

// orVariable describes a scalar of one type, or a variable.
func orVariable(kind, message string) *jsonschema.Schema {
	return withMessage(&jsonschema.Schema{Pattern: variable, Extras: map[string]any{"type": []string{kind, "string"}}}, message)
}

// oneOf describes one of some words, or a variable.
func oneOf(words ...string) *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{enum(words), variableSchema()}}
}

func enum(words []string) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	for _, w := range words {
		s.Enum = append(s.Enum, w)
	}
	return s
}

func number(kind string, tag reflect.StructTag) *jsonschema.Schema {
	message := "a number"
	if kind == "integer" {
		message = "an integer"
	}
	s := orVariable(kind, message)
	s.Minimum, s.Maximum = json.Number(tag.Get("min")), json.Number(tag.Get("max"))
	return s
}

// word describes a string: of an enum, of a pattern, or any.
func word(tag reflect.StructTag) *jsonschema.Schema {
	if enum, ok := tag.Lookup("enum"); ok {
		later := strings.Split(tag.Get("laterEnum"), ",")
		return oneOf(slices.DeleteFunc(strings.Split(enum, ","), func(v string) bool { return v != "" && slices.Contains(later, v) })...)
	}
	name := tag.Get("pattern")
	if name != "code" {
		return text(patterns[name], "")
	}
	codes := []string{"CANCELED"} // code.Parse accepts both spellings
	for _, c := range code.All() {
		if c != code.OK {
			codes = append(codes, c.String())
		}
	}
	return oneOf(codes...)
}

// later describes a field that is not supported yet: only its inert default is accepted, and editors do not suggest
// it.
func later(f reflect.StructField) *jsonschema.Schema {
	message := "not supported yet"
	if way := f.Tag.Get("later"); way != "true" {
		message += ": " + way
	}
	s := &jsonschema.Schema{
		Description: "Not supported yet. " + f.Tag.Get("doc"),
		Extras:      map[string]any{"errorMessage": message, "doNotSuggest": true},
	}
	if off, ok := f.Tag.Lookup("scalar"); ok {
		s.Enum = []any{off}
		return s
	}
	if def, ok := f.Tag.Lookup("default"); ok {
		s.Enum = []any{literal(f.Type, def)}
	}
	switch f.Type.Kind() {
	case reflect.Pointer, reflect.Struct:
		s.Type = "null"
	case reflect.Bool:
		s.Enum = []any{false}
	default:
		s.Enum = append(s.Enum, 0)
	}
	return s
}

// description returns the doc of a field, with the bounds that the schema cannot express.
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

// literal returns a default as a YAML value.
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

// written returns a value as it is written in YAML.
func written(v reflect.Value) any {
	switch v := v.Interface().(type) {
	case time.Duration:
		return config.Duration(v).String()
	case config.Duration, config.Bytes, config.MemoryLimit, config.Share:
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

func size(n uint64) *uint64 { return &n }
