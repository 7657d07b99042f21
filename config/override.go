package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Altered returns a copy of a rule with another value of a field, such as rateLimit.rate. Fields that are not written get their
// defaults anew. Problems name the file.
func Altered(r *Rule, file, path, value string) (*Rule, Problems) {
	w := &effectiveWriter{types: structTypes{}, values: map[string]EffectiveValue{}, position: r.Position, written: r.at.written}
	root := w.mapping("", reflect.ValueOf(r).Elem())
	prune(root, "", w.values)
	wrong := func(format string, args ...any) (*Rule, Problems) {
		return nil, Problems{{File: file, Path: r.Name + "." + path, Message: fmt.Sprintf(format, args...)}}
	}
	var parsed yaml.Node
	if err := yaml.Load([]byte(value), &parsed); err != nil || len(parsed.Content) != 1 {
		return wrong("cannot read %q", value)
	}
	if path == "name" || path == "was" || strings.ContainsAny(path, "[] ") || slices.Contains(strings.Split(path, "."), "") {
		return wrong("cannot be overridden: name a field of the rule, such as rateLimit.rate")
	}
	n := root
	for key := range strings.SplitSeq(path, ".") {
		n = childOf(n, key)
	}
	*n = *parsed.Content[0]
	list := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{textNode("rules"), {Kind: yaml.SequenceNode, Content: []*yaml.Node{root}}}}
	text, err := yaml.Dump(list)
	if err != nil {
		return wrong("cannot be written: %v", err)
	}
	rules, problems := DecodeRules(file, text, nil)
	for i := range problems {
		problems[i].Line, problems[i].Column = 0, 0
		problems[i].Path = strings.Replace(problems[i].Path, "rules[0]", r.Name, 1)
	}
	if problems.Err() != nil {
		return nil, problems
	}
	at := positions{file: r.at.file}
	for _, found := range rules[0].at.list {
		p := r.Position(found.path)
		at.list = append(at.list, valuePosition{found.path, int32(p.Line), int32(p.Column)})
	}
	rules[0].path, rules[0].at = r.path, at
	return &rules[0], nil
}

// prune removes the defaults from a mapping of an effectiveWriter.
func prune(n *yaml.Node, path string, values map[string]EffectiveValue) {
	var kept []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		if values[at].Default {
			continue
		}
		if value.Kind == yaml.MappingNode {
			prune(value, at, values)
		}
		kept = append(kept, key, value)
	}
	n.Content = kept
}

// childOf returns the value of a key of a mapping, which is added if there is none.
func childOf(n *yaml.Node, key string) *yaml.Node {
	if v := valueOf(n, key); v != nil {
		return v
	}
	if n.Kind != yaml.MappingNode {
		*n = yaml.Node{Kind: yaml.MappingNode}
	}
	v := &yaml.Node{Kind: yaml.MappingNode}
	n.Content = append(n.Content, textNode(key), v)
	return v
}

// Without returns a copy of a rule without one of its kinds. A rule that has no other kind is off.
func Without(r *Rule, k Kind) *Rule {
	c := *r
	if len(r.Kinds()) == 1 {
		c.Mode = Off
		return &c
	}
	k.block(&c).SetZero()
	c.at.list = slices.DeleteFunc(slices.Clone(r.at.list), func(p valuePosition) bool {
		below, ok := strings.CutPrefix(p.path, string(k))
		return ok && (below == "" || strings.ContainsAny(below[:1], ".["))
	})
	return &c
}
