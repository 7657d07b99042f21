package schema

import (
	"slices"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/easymicro/easymicro/config"
)

// ruleShape adds the constraints across the fields of a rule, such as kinds for incoming or outgoing calls only.
func ruleShape(s *jsonschema.Schema) {
	kinds := config.Kinds()
	var names []string
	for _, k := range kinds {
		names = append(names, string(k))
	}
	needsOne(s, "a rule", names...)
	s.Not = having("mode", &jsonschema.Schema{Const: string(config.Shadow)}) // shadow enforces nothing
	s.Not.Required = []string{"mode", "enforceShare"}
	s.If = having("match", &jsonschema.Schema{Type: "object", Required: []string{"upstream"}})
	s.If.Required = []string{"match"}
	s.Then = having("match", having("peer", never("peer is for incoming calls; match.upstream selects outgoing ones")))
	s.Else = having("circuitBreaker", having("scope", withMessage(&jsonschema.Schema{Enum: []any{config.ScopeMethod}}, "scope needs match.upstream")))
	for _, k := range kinds {
		if k.ServerOnly() {
			s.Then.Properties.Set(string(k), never(string(k)+" is for incoming calls; match.upstream selects outgoing ones"))
		}
		if k.ClientOnly() {
			s.Else.Properties.Set(string(k), never(string(k)+" needs match.upstream"))
		}
	}
}

// never describes a key that must not be written.
func never(message string) *jsonschema.Schema {
	return withMessage(&jsonschema.Schema{Type: "null"}, message)
}

// needsOne requires one of some keys, with one message.
func needsOne(s *jsonschema.Schema, what string, names ...string) {
	last := len(names) - 1
	s.AllOf = append(s.AllOf, &jsonschema.Schema{
		If:   &jsonschema.Schema{AnyOf: requireOne(names...)},
		Else: never(what + " needs " + strings.Join(names[:last], ", ") + " or " + names[last]),
	})
}

func requireOne(names ...string) []*jsonschema.Schema {
	var one []*jsonschema.Schema
	for _, name := range names {
		one = append(one, &jsonschema.Schema{Required: []string{name}})
	}
	return one
}

func notEmpty(s *jsonschema.Schema, lists ...string) {
	for _, name := range lists {
		if p, ok := s.Properties.Get(name); ok {
			p.MinItems = size(1)
		}
	}
}

// orList describes one value or a list of them.
func orList(one *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{one, {Type: "array", Items: one, MinItems: size(1)}}}
}

// suggest lets an editor complete known words, and accepts others.
func suggest(s *jsonschema.Schema, field string, words []string) {
	p, ok := s.Properties.Get(field)
	if !ok || len(words) == 0 {
		return
	}
	if p.AnyOf == nil {
		other := *p
		other.Description, other.Default = "", nil
		p.Type, p.Pattern, p.AnyOf = "", "", []*jsonschema.Schema{&other}
	}
	p.AnyOf = slices.Insert(slices.Clone(p.AnyOf), 0, enum(words))
}

func having(field string, s *jsonschema.Schema) *jsonschema.Schema {
	object := &jsonschema.Schema{Properties: jsonschema.NewProperties()}
	object.Properties.Set(field, s)
	return object
}
