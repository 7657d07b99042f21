// Package schema generates JSON Schemas of manifests and policy files, for completion and checks in editors.
//
// Keys, defaults, bounds and descriptions come from the types of config; handlers with their methods and options from
// the registry. Fields that are not supported yet are not suggested, and rejected with a message. A schema describes the
// shape of a file, not its meaning: `easymicro validate` checks the rest.
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

// Manifest returns the JSON Schema (2020-12) of a manifest for a binary with these handlers. Editors suggest
// services where a rule or a route names one; others are accepted too.
func Manifest(reg *registry.Registry, services ...string) ([]byte, error) {
	return document(reg, services, reflect.TypeFor[config.Manifest](), &jsonschema.Schema{
		ID: base + "easymicro.schema.json", Title: "easymicro manifest", Description: "Configuration of an easymicro host: easymicro.yaml.",
	})
}

// Policies returns the JSON Schema (2020-12) of a policy file for a binary with these handlers.
func Policies(reg *registry.Registry, services ...string) ([]byte, error) {
	return document(reg, services, reflect.TypeFor[config.PolicyFile](), &jsonschema.Schema{
		ID: base + "policies.schema.json", Title: "easymicro policies", Description: "Rules for the calls of an easymicro host, hot-reloaded.",
	})
}

// PolicyTest returns the JSON Schema (2020-12) of a file of policy tests.
func PolicyTest(reg *registry.Registry, services ...string) ([]byte, error) {
	return document(reg, services, reflect.TypeFor[config.PolicyTest](), &jsonschema.Schema{
		ID: base + "policytest.schema.json", Title: "easymicro policy tests",
		Description: "Calls on a virtual clock, and what the rules of an easymicro host make of them: for easymicro test.",
	})
}

// builder builds the schema of one document.
type builder struct {
	handlers     []*registry.Entry
	interceptors []*registry.Entry
	services     []string
	used         jsonschema.Definitions // the definitions that the document refers to
}

// document returns the schema of a file with the content of t, under the names in head.
func document(reg *registry.Registry, services []string, t reflect.Type, head *jsonschema.Schema) ([]byte, error) {
	b := &builder{handlers: reg.Entries(), interceptors: reg.Interceptors(), services: services}
	s := b.object(t)
	s.Version, s.ID, s.Title, s.Description = jsonschema.Version, head.ID, head.Title, head.Description
	s.PatternProperties = map[string]*jsonschema.Schema{"^x-": jsonschema.TrueSchema} // for anchors
	s.Definitions = b.used
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(out, '\n'), nil
}

// object describes a struct, strictly as config decodes it.
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
		s.Properties.Set(name, b.field(f))
		if f.Tag.Get("required") == "true" {
			s.Required = append(s.Required, name)
		}
	}
	b.shape(t, s)
	return s
}

// field describes one key by its tags.
func (b *builder) field(f reflect.StructField) *jsonschema.Schema {
	if f.Tag.Get("later") != "" {
		return later(f)
	}
	s := b.value(f.Type, f.Tag)
	if off, ok := f.Tag.Lookup("scalar"); ok {
		s = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{enum([]string{off}), s}}
	}
	s.Description = description(f)
	if text, ok := f.Tag.Lookup("default"); ok {
		s.Default = literal(f.Type, text)
	}
	return s
}

// value describes a value by its type and the tags of its field.
func (b *builder) value(t reflect.Type, tag reflect.StructTag) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[config.Duration](), reflect.TypeFor[time.Duration]():
		return b.ref("duration")
	case reflect.TypeFor[config.Bytes]():
		return b.ref("bytes")
	case reflect.TypeFor[config.MemoryLimit]():
		return b.ref("memoryLimit")
	case reflect.TypeFor[config.Share]():
		return b.ref("ratio")
	case reflect.TypeFor[config.Address]():
		return b.ref("address")
	case reflect.TypeFor[time.Time]():
		return b.ref("time")
	case reflect.TypeFor[config.Rate]():
		s := orVariable("number", "a plain number; write rate: 500, per: 1s")
		s.ExclusiveMinimum = "0"
		return s
	case reflect.TypeFor[config.RawOptions]():
		return &jsonschema.Schema{Type: "object"}
	case reflect.TypeFor[config.Around]():
		return b.around(t)
	case reflect.TypeFor[config.Patterns](), reflect.TypeFor[config.Key]():
		return orList(word(tag))
	case reflect.TypeFor[config.Exceptions](), reflect.TypeFor[config.TestSteps](), reflect.TypeFor[config.TestScripts]():
		return orList(b.value(t.Elem(), tag))
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
		s := &jsonschema.Schema{Type: "object", AdditionalProperties: b.value(t.Elem(), tag)}
		if pattern := tag.Get("pattern"); pattern == "claim" || pattern == "claimGlob" {
			s.PropertyNames, s.MaxProperties = &jsonschema.Schema{Pattern: config.ClaimNameForm}, new(uint64(config.MaxClaims))
		}
		return s
	case reflect.Bool:
		return orVariable("boolean", "true or false")
	case reflect.Float32, reflect.Float64:
		return number("number", tag)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return number("integer", tag)
	case reflect.String:
		return word(tag)
	default:
		return &jsonschema.Schema{} // any value
	}
}

// ref refers to a definition.
func (b *builder) ref(name string) *jsonschema.Schema {
	if b.used == nil {
		b.used = jsonschema.Definitions{}
	}
	b.used[name] = definitions[name]()
	return &jsonschema.Schema{Ref: "#/$defs/" + name}
}

// shape adds constraints across fields.
func (b *builder) shape(t reflect.Type, s *jsonschema.Schema) {
	switch t {
	case reflect.TypeFor[config.Rule]():
		ruleShape(s)
	case reflect.TypeFor[config.Match]():
		s.MinProperties = size(1)
		s.Not = &jsonschema.Schema{Required: []string{"except"}, MaxProperties: size(1)}
		s.AnyOf = append(requireOne("service", "upstream"), &jsonschema.Schema{Not: &jsonschema.Schema{Required: []string{"method"}}})
		b.suggestTargets(s)
	case reflect.TypeFor[config.Exception]():
		s.MinProperties = size(1)
		b.suggestTargets(s)
	case reflect.TypeFor[config.Route]():
		b.suggestTargets(s)
	case reflect.TypeFor[config.Concurrency]():
		s.OneOf = requireOne("max", "adaptive")
	case reflect.TypeFor[config.CircuitBreaker]():
		needsOne(s, "a circuitBreaker", "failureRate", "consecutiveFailures", "slowCallRate")
		s.DependentRequired = map[string][]string{"slowCallRate": {"slowCallDuration"}}
		notEmpty(s, "failOn")
	case reflect.TypeFor[config.Retry]():
		notEmpty(s, "retryOn")
	case reflect.TypeFor[config.Access]():
		needsOne(s, "access", "allow", "deny")
		notEmpty(s, "allow", "deny")
	case reflect.TypeFor[config.Resolve]():
		s.OneOf = requireOne("etcd", "endpoints", "dns", "file")
		notEmpty(s, "endpoints")
	case reflect.TypeFor[config.Etcd]():
		s.DependentRequired = map[string][]string{"usernameFile": {"passwordFile"}, "passwordFile": {"usernameFile"}}
		notEmpty(s, "endpoints", "layouts")
	case reflect.TypeFor[config.ProxyProtocol]():
		notEmpty(s, "from")
	case reflect.TypeFor[config.PolicyTest]():
		notEmpty(s, "cases")
	case reflect.TypeFor[config.TestCase]():
		notEmpty(s, "calls")
	case reflect.TypeFor[config.TestScript]():
		s.DependentRequired = map[string][]string{"reason": {"error"}, "runsOn": {"delay"}}
	case reflect.TypeFor[config.Remote]():
		notEmpty(s, "services")
	case reflect.TypeFor[config.Service]():
		b.byHandler(s)
	}
}

// suggestTargets lets an editor complete the services and the methods of the binary, and accepts others.
func (b *builder) suggestTargets(s *jsonschema.Schema) {
	suggest(s, "service", b.services)
	var methods []string
	for _, e := range b.handlers {
		for _, m := range e.Methods {
			methods = append(methods, m.Name)
		}
	}
	slices.Sort(methods)
	suggest(s, "method", slices.Compact(methods))
}

// byHandler makes the options and the exposed methods of a service depend on its handler, one of those compiled in.
func (b *builder) byHandler(s *jsonschema.Schema) {
	if len(b.handlers) == 0 {
		return
	}
	var names []string
	for _, e := range b.handlers {
		names = append(names, e.Name)
		when := having("handler", &jsonschema.Schema{Const: e.Name})
		when.Required = []string{"handler"}
		s.AllOf = append(s.AllOf, &jsonschema.Schema{If: when, Then: b.service(e)})
	}
	if p, ok := s.Properties.Get("handler"); ok {
		p.Type, p.Pattern, p.AnyOf = "", "", oneOf(names...).AnyOf
	}
}

// service describes what depends on the handler of a service.
func (b *builder) service(e *registry.Entry) *jsonschema.Schema {
	s := having("options", b.options(e))
	if len(e.Methods) > 0 {
		var methods []string
		for _, m := range e.Methods {
			methods = append(methods, m.Name)
		}
		s.Properties.Set("methods", having("expose", &jsonschema.Schema{Items: oneOf(methods...)}))
	}
	return s
}

// options describes the options of a handler or an interceptor.
func (b *builder) options(e *registry.Entry) *jsonschema.Schema {
	if e.Options == nil {
		return &jsonschema.Schema{Type: "object", MaxProperties: size(0), Description: e.Name + " takes no options."}
	}
	options := b.object(e.Options)
	options.Description = "Options of " + e.Name + "."
	setDefaults(options, reflect.ValueOf(e.Defaults))
	return options
}

// around describes an interceptor: its name, one of those compiled in, alone or with its options.
func (b *builder) around(t reflect.Type) *jsonschema.Schema {
	s := b.object(t)
	name, _ := s.Properties.Get("name")
	if len(b.interceptors) > 0 {
		var names []string
		for _, e := range b.interceptors {
			names = append(names, e.Name)
			when := having("name", &jsonschema.Schema{Const: e.Name})
			when.Required = []string{"name"}
			s.AllOf = append(s.AllOf, &jsonschema.Schema{If: when, Then: having("options", b.options(e))})
		}
		name.Type, name.Pattern, name.AnyOf = "", "", oneOf(names...).AnyOf
	}
	alone := *name
	alone.Description = ""
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{&alone, s}}
}

// setDefaults adds the registered defaults of a handler, but for zero values.
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

// fields returns the fields of a struct and of the structs inlined into it, with the indexes from the outermost.
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

// base is the URL of the schemas of the released binary.
const base = "https://github.com/easymicro/easymicro/schema/"
