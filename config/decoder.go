package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/easymicro/easymicro/config/lint"
)

// decoder strictly decodes the nodes of one file into typed values and collects all problems.
type decoder struct {
	*recorder
	types   structTypes
	vars    *variables
	suggest *suggester
	aliased *aliasGuard

	blockList bool // the value is an element of a block list
	prefill   bool // absent fields keep their value instead of their default
}

func newDecoder(file string, env func(string) (string, bool)) *decoder {
	d := &decoder{recorder: newRecorder(file), types: structTypes{}, vars: newVariables(env), aliased: &aliasGuard{}}
	d.suggest = &suggester{types: d.types, vars: d.vars, try: d.try}
	return d
}

// try decodes a value on the side and returns its first problem.
func (d *decoder) try(n *yaml.Node, t reflect.Type, f *field) *Problem {
	apart := newDecoder("", d.vars.env)
	apart.types, apart.suggest.types, apart.suggest.trial = d.types, d.types, true
	apart.value(n, reflect.New(t).Elem(), f, "")
	if len(apart.problems) == 0 {
		return nil
	}
	return &apart.problems[0]
}

// fileKind holds the differences between the kinds of files.
type fileKind struct {
	empty string                       // message for a file without content
	blank bool                         // empty documents are accepted
	other func(root *yaml.Node) string // returns what the file is instead, or ""
}

// file decodes a whole file.
func (d *decoder) file(data []byte, into reflect.Value, kind fileKind) {
	if root := d.open(data, kind); root != nil {
		d.value(root, into, &field{}, "")
	}
}

// open parses a whole file and expands its variables. It returns nil if there is nothing to decode.
func (d *decoder) open(data []byte, kind fileKind) *yaml.Node {
	root, blank, problem := parse(data)
	switch {
	case problem != nil:
		problem.File = d.name
		d.problems = append(d.problems, problem.Coded(lint.NotYAML))
		return nil
	case root == nil && blank && kind.blank:
		return nil
	case root == nil || root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null":
		d.problems = append(d.problems, Problem{File: d.name, Line: 1, Column: 1, Message: kind.empty}.Coded(lint.WrongFile))
		return nil
	}
	if other := kind.other(root); other != "" {
		d.problem(lint.WrongFile, root, "", other, "")
		return nil
	}
	d.mark(root, "")
	d.vars.root = root
	d.vars.expand(root, nil, d.recorder)
	return root
}

// alias decodes the target of the alias n.
func (d *decoder) alias(n *yaml.Node, path string, decode func(target *yaml.Node)) {
	a := d.aliased
	if slices.Contains(a.stack, n.Alias) {
		d.problem(lint.NotYAML, n, path, fmt.Sprintf("*%s refers to itself", n.Value), "")
		return
	}
	if n.Alias == nil || a.spent {
		return
	}
	a.enter(n.Alias)
	decode(n.Alias)
	if a.leave() {
		d.problem(lint.NotYAML, n, path, fmt.Sprintf("aliases expand to more than %d values", maxAliasValues), "")
	}
}

// positioned is implemented by types that keep the positions of their own values.
type positioned interface {
	setPositions(path string, at positions)
}

// mapping decodes n into the struct v: first the defaults, then the written fields; then it checks for missing ones.
func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	s := d.types.of(v.Type())
	if !d.prefill {
		d.types.setDefaults(v)
	}
	written := make(map[string]bool, len(n.Content)/2)
	d.pairs(n, path, func(key, value *yaml.Node) {
		f, ok := s.byName[key.Value]
		if !ok && n == d.vars.root && isExtension(key.Value) {
			return
		}
		if !ok {
			ours, message, suggestion := d.suggest.key(key, value, n, s, v.Type())
			d.problem(lint.UnknownKey, key, join(path, clip(key.Value)), message, suggestion)
			written[ours] = true // a misspelt key is not missing too
			return
		}
		written[f.name] = true
		d.field(key, value, v.FieldByIndex(f.index), f, join(path, f.name))
	})
	for _, f := range s.fields {
		if f.required && !written[f.name] {
			d.problem(lint.MissingKey, n, join(path, f.name), "is required", "")
		}
	}
}

func (d *decoder) field(key, value *yaml.Node, v reflect.Value, f *field, path string) {
	d.mark(value, path)
	before := len(d.problems)
	d.value(value, v, f, path)
	if f.later == "" || (len(d.problems) == before && isOff(v, f)) {
		return
	}
	d.problem(lint.NotSupported, key, path, f.notSupported(), "")
	v.SetZero()
}

// options keeps the node for later, after checking that it is valid in itself.
func (d *decoder) options(n *yaml.Node, v reflect.Value, path string) {
	if !d.kind(n, yaml.MappingNode, path, v.Type(), &field{}) {
		return
	}
	o := RawOptions{node: n, file: d.name, path: join(d.scope, path)}
	look := o.decoder()
	look.aliased, look.vars.unasked = d.aliased, d.vars.unasked // one bound for the whole file
	var plain any
	look.value(n, reflect.ValueOf(&plain).Elem(), &field{}, "")
	for _, p := range look.problems {
		d.problem(p.Code, &yaml.Node{Line: p.Line, Column: p.Column}, strings.TrimPrefix(p.Path, d.scope), p.Message, p.Suggestion)
	}
	v.Set(reflect.ValueOf(o))
}

// scalar decodes a scalar and checks it against the tags.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, f *field, path string) {
	if n.Kind != yaml.ScalarNode {
		d.problem(lint.WrongType, n, path, fmt.Sprintf("must be %s, not %s", typeName(v.Type()), d.suggest.describe(n)), "")
		return
	}
	tag := n.ShortTag()
	if f.pattern == "code" && tag == "!!int" || f.pattern == "any" {
		tag = "!!str" // 503 stands for a code
	}
	as := lint.WrongType
	message, suggestion := setScalar(v, tag, n.Value)
	if message == "" {
		as = lint.NotAccepted
		message, suggestion = check(v, f)
	}
	if message != "" {
		message, suggestion = d.suggest.explain(n, v.Type(), f, message, suggestion, path, d.blockList)
		d.problem(as, n, path, message, suggestion)
	}
}

// value decodes n into v under the tags of f. path is relative to the scope of the decoder.
func (d *decoder) value(n *yaml.Node, v reflect.Value, f *field, path string) {
	if n.Kind == yaml.AliasNode {
		d.alias(n, path, func(target *yaml.Node) { d.value(target, v, f, path) })
		return
	}
	if !d.aliased.count() || d.full() {
		return
	}
	if p, ok := v.Addr().Interface().(positioned); ok {
		d.scoped(n, v, path, p)
		return
	}
	if w := d.vars.unasked[n]; w != "" {
		d.problem(lint.BadVariable, n, path, w, "")
		return
	}
	if d.vars.unset[n] || !d.isPlain(n, v.Type(), path) {
		return
	}
	switch t := v.Type(); {
	case t == aroundType && n.Kind == yaml.ScalarNode:
		d.value(spelledOut(n), v, f, path)
	case t == rawOptionsType:
		d.options(n, v, path)
	case t == patternsType || t == keyType:
		d.patterns(n, v, f, path)
	case isScalar(t):
		d.scalar(n, v, f, path)
	case t.Kind() == reflect.Pointer:
		d.pointer(n, v, f, path)
	case t.Kind() == reflect.Struct:
		if d.kind(n, yaml.MappingNode, path, t, f) {
			d.mapping(n, v, path)
		}
	case t.Kind() == reflect.Map:
		if d.kind(n, yaml.MappingNode, path, t, f) {
			d.dictionary(n, v, f, path)
		}
	case oneOrList[t] && n.Kind == yaml.MappingNode:
		v.Set(reflect.MakeSlice(t, 1, 1))
		d.mapping(n, v.Index(0), path)
	case t.Kind() == reflect.Slice:
		if d.kind(n, yaml.SequenceNode, path, t, f) {
			d.list(n, v, f, path)
		}
	case t.Kind() == reflect.Interface && t.NumMethod() == 0:
		d.free(n, v, path)
	default:
		d.problem(lint.WrongType, n, path, fmt.Sprintf("a field of type %s cannot be written in YAML", t), "")
	}
}

// scoped decodes a value that keeps its own positions, with paths relative to it.
func (d *decoder) scoped(n *yaml.Node, v reflect.Value, path string, p positioned) {
	scope, at := d.scope, d.at
	d.scope, d.at = join(scope, path), positions{file: d.name}
	d.mark(n, "")
	if d.isPlain(n, v.Type(), "") && d.kind(n, yaml.MappingNode, "", v.Type(), &field{}) {
		d.mapping(n, v, "")
	}
	p.setPositions(d.scope, d.finish())
	d.scope, d.at = scope, at
}

// isPlain rejects what is wrong for any type: no value, and unknown tags.
func (d *decoder) isPlain(n *yaml.Node, t reflect.Type, path string) bool {
	switch tag := n.ShortTag(); {
	case tag == "!!null" && d.vars.expanded[n] != "":
		what := ": expected " + typeName(t)
		if t == patternsType || t.Kind() == reflect.String {
			what = ": for an empty string write it in quotes"
		}
		d.problem(lint.NoValue, n, path, d.vars.expanded[n]+" is empty"+what, "")
	case tag == "!!null":
		d.problem(lint.NoValue, n, path, "has no value: write "+typeName(t)+", or leave the key out", "")
	case n.Style&yaml.TaggedStyle != 0 && !slices.Contains(coreTags, tag):
		message := fmt.Sprintf("the tag %s is not supported", tag)
		if t == patternsType || t.Kind() == reflect.String {
			message += ": a string that begins with ! must be quoted; exceptions of a rule go into match.except"
		}
		d.problem(lint.NotYAML, n, path, message, "")
	default:
		return true
	}
	return false
}

func (d *decoder) kind(n *yaml.Node, want yaml.Kind, path string, t reflect.Type, f *field) bool {
	if n.Kind == want {
		return true
	}
	top := map[reflect.Type]string{reflect.TypeFor[PolicyFile](): "rules", reflect.TypeFor[EndpointsFile](): "endpoints"}
	if key := top[t]; key != "" && path == "" && d.scope == "" {
		d.problem(lint.WrongFile, n, path, "must be a mapping with the key "+key+", not "+d.suggest.describe(n), "")
		return false
	}
	d.problem(lint.WrongType, n, path, fmt.Sprintf("must be %s, not %s", typeName(t), d.suggest.describe(n)), d.suggest.wrapped(n, t, f))
	return false
}

func (d *decoder) pointer(n *yaml.Node, v reflect.Value, f *field, path string) {
	if f.scalar != "" && n.Kind == yaml.ScalarNode && n.Value == f.scalar {
		v.SetZero()
		return
	}
	fresh := reflect.New(v.Type().Elem())
	if d.prefill && !v.IsNil() {
		fresh.Elem().Set(v.Elem())
	}
	d.value(n, fresh.Elem(), f, path)
	v.Set(fresh)
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, f *field, path string) {
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	defer func(around bool) { d.blockList = around }(d.blockList)
	_, keepsPositions := reflect.New(v.Type().Elem()).Interface().(positioned)
	for i, c := range n.Content {
		at := path + "[" + strconv.Itoa(i) + "]"
		if !keepsPositions {
			d.mark(c, at)
		}
		d.blockList = n.Style&yaml.FlowStyle == 0
		d.value(c, out.Index(i), f, at)
	}
	v.Set(out)
}

// patterns decodes one value or a list of them.
func (d *decoder) patterns(n *yaml.Node, v reflect.Value, f *field, path string) {
	if n.Kind == yaml.ScalarNode {
		one := reflect.MakeSlice(v.Type(), 1, 1)
		d.scalar(n, one.Index(0), f, path)
		v.Set(one)
		return
	}
	if !d.kind(n, yaml.SequenceNode, path, v.Type(), f) {
		return
	}
	if len(n.Content) == 0 {
		what := "is an empty list, which matches nothing: leave the key out to match all"
		switch {
		case v.Type() == keyType:
			what = "is an empty list: leave it out to have one bucket for all calls"
		case f.required:
			what = `is an empty list, which matches nothing: "*" matches all`
		}
		d.problem(lint.NoValue, n, path, what, "")
		return
	}
	d.list(n, v, f, path)
}

func (d *decoder) dictionary(n *yaml.Node, v reflect.Value, f *field, path string) {
	t := v.Type()
	if t.Key().Kind() != reflect.String {
		d.problem(lint.WrongType, n, path, fmt.Sprintf("a field of type %s cannot be written in YAML", t), "")
		return
	}
	out := reflect.MakeMapWithSize(t, len(n.Content)/2)
	d.pairs(n, path, func(key, value *yaml.Node) {
		at := join(path, key.Value)
		d.markPair(key, value, at)
		element := reflect.New(t.Elem()).Elem()
		d.value(value, element, f, at)
		out.SetMapIndex(reflect.ValueOf(key.Value).Convert(t.Key()), element)
	})
	v.Set(out)
}

// pairs calls each for every pair of a mapping with a valid and unique key.
func (d *decoder) pairs(n *yaml.Node, path string, each func(key, value *yaml.Node)) {
	seen := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if d.full() {
			return
		}
		if key.Kind == yaml.AliasNode && key.Alias != nil {
			d.problem(lint.NotYAML, key, path, "an alias cannot be a key", "")
			continue
		}
		if key.Kind != yaml.ScalarNode {
			d.problem(lint.NotYAML, key, path, "a key must be a plain value, not "+d.suggest.describe(key), "")
			continue
		}
		if key.ShortTag() == "!!merge" {
			d.problem(lint.NotYAML, key, path, "merge keys (<<) are not supported: write the fields out", "")
			continue
		}
		if first, twice := seen[key.Value]; twice {
			d.problem(lint.DuplicateKey, key, join(path, key.Value), fmt.Sprintf("duplicate key, first in line %d", first.Line), "")
			continue
		}
		seen[key.Value] = key
		each(key, value)
	}
}

// free decodes into an any, for the options of handlers.
func (d *decoder) free(n *yaml.Node, v reflect.Value, path string) {
	t := reflect.TypeFor[string]()
	switch {
	case n.Kind == yaml.MappingNode:
		t = reflect.TypeFor[map[string]any]()
	case n.Kind == yaml.SequenceNode:
		t = reflect.TypeFor[[]any]()
	case n.ShortTag() == "!!int":
		t = reflect.TypeFor[int64]()
	case n.ShortTag() == "!!float":
		t = reflect.TypeFor[float64]()
	case n.ShortTag() == "!!bool":
		t = reflect.TypeFor[bool]()
	}
	target := reflect.New(t).Elem()
	d.value(n, target, &field{}, path)
	v.Set(target)
}
