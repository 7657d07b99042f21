package schema

import (
	"reflect"
	"slices"

	"github.com/invopop/jsonschema"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/code"
)

// patterns are what the `pattern` tags of config mean, as near as a regular expression comes.
var patterns = map[string]string{
	"name":       `^[A-Za-z0-9._-]{1,64}$`,
	"handler":    `^[A-Za-z0-9._/-]{1,128}$`,
	"hostname":   `^[A-Za-z0-9._-]{1,253}$`,
	"service":    `^[^\s/*]{1,255}$`,
	"method":     `^[^\s/*]{1,255}$`,
	"caller":     `^[^\s*]{1,255}$`,
	"path":       `^/[^\s{}]*$`,
	"hashOn":     `^(metadata|argument)\.\S{1,128}$`,
	"key":        `^(caller|method|peer(/([1-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))?|metadata\.\S{1,128})$`,
	"glob":       `^[^\s/|()!,?{\[^]([^\s/|(),?{\[]{0,253}[^\s/|(),?{\[$])?$`,
	"callerGlob": `^\S{1,255}$`,
	"cidr":       `^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$`,
	"proxy":      `^(unix|[0-9A-Fa-f.:]+(/[0-9]{1,3})?)$`,
}

func (b *builder) pattern(name string) *jsonschema.Schema {
	if name == "code" {
		s := &jsonschema.Schema{Type: "string"}
		for _, c := range code.All() {
			if c != code.OK {
				s.Enum = append(s.Enum, c.String())
			}
		}
		s.Enum = append(s.Enum, "CANCELED") // code.Parse takes both spellings
		return b.orVariable(s)
	}
	if p := patterns[name]; p != "" {
		return b.orVariable(&jsonschema.Schema{Type: "string", Pattern: p})
	}
	return &jsonschema.Schema{Type: "string"}
}

// shape adds what no single field can say.
func (b *builder) shape(t reflect.Type, s *jsonschema.Schema) {
	switch t {
	case reflect.TypeFor[config.Rule]():
		s.AnyOf = requireOne(kindsIn(s, func(config.Kind) bool { return true })...)
		s.Not = having("mode", &jsonschema.Schema{Const: string(config.Shadow)}) // which enforces no share
		s.Not.Required = []string{"mode", "enforceShare"}
		sides(s)
	case reflect.TypeFor[config.Match]():
		s.MinProperties = size(1)
		s.Not = &jsonschema.Schema{Required: []string{"except"}, MaxProperties: size(1)}
		s.AnyOf = append(requireOne("service", "upstream"), &jsonschema.Schema{Not: &jsonschema.Schema{Required: []string{"method"}}})
		b.suggest(s, "service", b.services)
		b.suggest(s, "method", b.methods())
	case reflect.TypeFor[config.Exception]():
		s.MinProperties = size(1)
		b.suggest(s, "service", b.services)
		b.suggest(s, "method", b.methods())
	case reflect.TypeFor[config.Route]():
		b.suggest(s, "service", b.services)
		b.suggest(s, "method", b.methods())
	case reflect.TypeFor[config.Concurrency]():
		s.Required = append(s.Required, "max")
	case reflect.TypeFor[config.CircuitBreaker]():
		s.AnyOf = requireOne("failureRate", "consecutiveFailures", "slowCallRate")
		s.DependentRequired = map[string][]string{"slowCallRate": {"slowCallDuration"}}
		notEmpty(s, "failOn")
	case reflect.TypeFor[config.Retry]():
		notEmpty(s, "retryOn")
	case reflect.TypeFor[config.Access]():
		s.AnyOf = requireOne("allow", "deny")
		notEmpty(s, "allow", "deny")
	case reflect.TypeFor[config.Resolve]():
		s.OneOf = requireOne("etcd", "endpoints", "dns", "file")
		notEmpty(s, "endpoints")
	case reflect.TypeFor[config.Etcd]():
		s.DependentRequired = map[string][]string{"usernameFile": {"passwordFile"}, "passwordFile": {"usernameFile"}}
		notEmpty(s, "endpoints", "layouts")
	case reflect.TypeFor[config.ProxyProtocol]():
		notEmpty(s, "from")
	case reflect.TypeFor[config.Remote]():
		notEmpty(s, "services")
	case reflect.TypeFor[config.Service]():
		b.byHandler(s)
	}
}

// sides keeps what is for calls that go out apart from what is for calls that come in.
func sides(rule *jsonschema.Schema) {
	rule.If = having("match", &jsonschema.Schema{Type: "object", Required: []string{"upstream"}})
	rule.If.Required = []string{"match"}
	none := func(s *jsonschema.Schema, of func(config.Kind) bool) *jsonschema.Schema {
		s.Not = &jsonschema.Schema{AnyOf: requireOne(kindsIn(rule, of)...)}
		return s
	}
	noPeer := &jsonschema.Schema{Not: &jsonschema.Schema{Required: []string{"peer"}}}
	rule.Then = none(having("match", noPeer), config.Kind.ServerOnly)
	method := having("scope", &jsonschema.Schema{Enum: []any{config.ScopeMethod}})
	rule.Else = none(having("circuitBreaker", method), config.Kind.ClientOnly)
}

// suggest lets an editor complete known words and accepts others.
func (b *builder) suggest(s *jsonschema.Schema, field string, words []string) {
	p, ok := s.Properties.Get(field)
	if !ok || len(words) == 0 {
		return
	}
	known := &jsonschema.Schema{Type: "string"}
	for _, w := range words {
		known.Enum = append(known.Enum, w)
	}
	if p.AnyOf == nil {
		other := *p
		other.Description, other.Default = "", nil
		p.Type, p.Pattern, p.AnyOf = "", "", []*jsonschema.Schema{&other}
	}
	p.AnyOf = slices.Insert(slices.Clone(p.AnyOf), 0, known)
}

// methods are those of all handlers.
func (b *builder) methods() []string {
	var names []string
	for _, e := range b.handlers {
		for _, m := range e.Methods {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// kindsIn are the kinds of rules of which something holds and that are described: those of later issues are not.
func kindsIn(rule *jsonschema.Schema, of func(config.Kind) bool) []string {
	var kinds []string
	for _, k := range []config.Kind{
		config.KindAccess, config.KindShed, config.KindRateLimit, config.KindCircuitBreaker, config.KindConcurrency,
		config.KindTimeout, config.KindRetry, config.KindHedge, config.KindOutlierDetection,
	} {
		if _, ok := rule.Properties.Get(string(k)); ok && of(k) {
			kinds = append(kinds, string(k))
		}
	}
	return kinds
}

func notEmpty(s *jsonschema.Schema, lists ...string) {
	for _, name := range lists {
		if p, ok := s.Properties.Get(name); ok {
			p.MinItems = size(1)
		}
	}
}

func requireOne(fields ...string) []*jsonschema.Schema {
	var one []*jsonschema.Schema
	for _, f := range fields {
		one = append(one, &jsonschema.Schema{Required: []string{f}})
	}
	return one
}
