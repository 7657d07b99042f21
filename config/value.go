package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

var (
	rawOptionsType = reflect.TypeFor[RawOptions]()
	patternsType   = reflect.TypeFor[Patterns]()
	exceptionsType = reflect.TypeFor[Exceptions]()
	keyType        = reflect.TypeFor[Key]()
	durationType   = reflect.TypeFor[Duration]()
	stdDuration    = reflect.TypeFor[time.Duration]()
	bytesType      = reflect.TypeFor[Bytes]()
	shareType      = reflect.TypeFor[Share]()
	rateType       = reflect.TypeFor[Rate]()
	addressType    = reflect.TypeFor[Address]()
	timeType       = reflect.TypeFor[time.Time]()
	textType       = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// value decodes n into v as f says. path is inside the scope of the decoder.
func (d *decoder) value(n *yaml.Node, v reflect.Value, f *field, path string) {
	if n.Kind == yaml.AliasNode {
		d.alias(n, path, func(target *yaml.Node) { d.value(target, v, f, path) })
		return
	}
	if !d.aliased.count() || d.full() {
		return
	}
	if p, ok := v.Addr().Interface().(placed); ok {
		d.scoped(n, v, path, p)
		return
	}
	if w := d.unasked[n]; w != "" {
		d.problem(n, path, w, "")
		return
	}
	if d.unset[n] || !d.sound(n, v.Type(), path) {
		return
	}
	switch t := v.Type(); {
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
	case t == exceptionsType && n.Kind == yaml.MappingNode:
		one := reflect.MakeSlice(t, 1, 1)
		d.mapping(n, one.Index(0), path)
		v.Set(one)
	case t.Kind() == reflect.Slice:
		if d.kind(n, yaml.SequenceNode, path, t, f) {
			d.list(n, v, f, path)
		}
	case t.Kind() == reflect.Interface && t.NumMethod() == 0:
		d.free(n, v, path)
	default:
		d.problem(n, path, fmt.Sprintf("a field of type %s cannot be written in YAML", t), "")
	}
}

// scoped decodes what keeps its own places: paths inside it start anew.
func (d *decoder) scoped(n *yaml.Node, v reflect.Value, path string, p placed) {
	scope, at := d.scope, d.at
	d.scope, d.at = join(scope, path), places{file: d.name}
	d.place(n, "")
	if d.sound(n, v.Type(), "") && d.kind(n, yaml.MappingNode, "", v.Type(), &field{}) {
		d.mapping(n, v, "")
	}
	p.setPlaces(d.scope, d.finish())
	d.scope, d.at = scope, at
}

// sound refuses what is wrong whatever the type: no value, and tags of other languages.
func (d *decoder) sound(n *yaml.Node, t reflect.Type, path string) bool {
	switch tag := n.ShortTag(); {
	case tag == "!!null" && d.expanded[n] != "":
		what := ", and no " + strings.TrimPrefix(article(t), "a ")
		if t == patternsType || t.Kind() == reflect.String {
			what = ": for empty text write it in quotes"
		}
		d.problem(n, path, d.expanded[n]+" is empty"+what, "")
	case tag == "!!null":
		d.problem(n, path, "has no value: write "+article(t)+", or leave the key out", "")
	case n.Style&yaml.TaggedStyle != 0 && !slices.Contains(coreTags, tag):
		message := fmt.Sprintf("the tag %s is not understood", tag)
		if t == patternsType || t.Kind() == reflect.String {
			message += ": text that begins with ! must be quoted; what a rule leaves out stands in match.except"
		}
		d.problem(n, path, message, "")
	default:
		return true
	}
	return false
}

var coreTags = []string{"!!str", "!!int", "!!float", "!!bool", "!!timestamp", "!!seq", "!!map"}

func (d *decoder) kind(n *yaml.Node, want yaml.Kind, path string, t reflect.Type, f *field) bool {
	if n.Kind == want {
		return true
	}
	top := map[reflect.Type]string{reflect.TypeFor[policyFile](): "rules", reflect.TypeFor[endpointsFile](): "endpoints"}
	if key := top[t]; key != "" && path == "" && d.scope == "" {
		d.problem(n, path, "must be a mapping with the key "+key+", not "+d.describe(n), "")
		return false
	}
	d.problem(n, path, fmt.Sprintf("must be %s, not %s", article(t), d.describe(n)), d.wrapped(n, t, f))
	return false
}

// wrapped is a value written as the list or the block that is wanted, if that holds.
func (d *decoder) wrapped(n *yaml.Node, t reflect.Type, f *field) string {
	if d.quiet || d.trial && t.Kind() != reflect.Struct || d.expanded[n] != "" || len(n.Value) > 60 {
		return ""
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	text := ""
	switch list := t.Kind() == reflect.Slice; {
	case n.Kind == yaml.ScalarNode && n.Value == "":
	case n.Kind == yaml.ScalarNode && list && isScalar(t.Elem()):
		text = d.splitList(n, t.Elem(), f)
	case n.Kind == yaml.ScalarNode && list:
		if text = blockOf(n, t.Elem()); text != "" && t != exceptionsType {
			text = "[" + text + "]"
		}
	case n.Kind == yaml.ScalarNode:
		text = blockOf(n, t)
	case n.Kind == yaml.MappingNode && list && isScalar(t.Elem()):
		text = namesIn(n)
	case n.Kind == yaml.SequenceNode && t == reflect.TypeFor[Access]():
		if text = d.flowText(n); !strings.HasPrefix(text, "[{") && text != "" {
			text = "[{caller: " + text + "}]"
		}
		if text != "" {
			text = "{allow: " + text + "}"
		}
	}
	if text == "" || !d.holds(text, t, f) {
		return ""
	}
	return text
}

// splitList is the list that a word, or several with commas between, stand for.
func (d *decoder) splitList(n *yaml.Node, element reflect.Type, f *field) string {
	var list []string
	for part := range strings.SplitSeq(n.Value, ",") {
		one := *n
		one.Value = strings.TrimSpace(part)
		text := elementOf(&one, element)
		if p := d.told(text, element, f); p != nil && p.Suggestion != "" {
			text = strings.Trim(p.Suggestion, "[]")
		}
		for one := range strings.SplitSeq(text, ", ") {
			if !slices.Contains(list, one) {
				list = append(list, one)
			}
		}
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// namesIn is the list that {a, b} was meant for, which is a mapping of names to nothing.
func namesIn(n *yaml.Node) string {
	var names []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || value.ShortTag() != "!!null" {
			return ""
		}
		names = append(names, asText(key.Value))
	}
	return "[" + strings.Join(names, ", ") + "]"
}

func (d *decoder) pointer(n *yaml.Node, v reflect.Value, f *field, path string) {
	if f.scalar != "" && n.Kind == yaml.ScalarNode && n.Value == f.scalar {
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
	around := d.blockList
	defer func() { d.blockList = around }()
	for i, c := range n.Content {
		at := path + "[" + strconv.Itoa(i) + "]"
		if !d.keepsPlaces(v.Type().Elem()) {
			d.place(c, at)
		}
		d.blockList = n.Style&yaml.FlowStyle == 0
		d.value(c, out.Index(i), f, at)
	}
	v.Set(out)
}

func (d *decoder) keepsPlaces(t reflect.Type) bool {
	_, ok := reflect.New(t).Interface().(placed)
	return ok
}

// patterns takes a value, which may be a glob, or a list of them.
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
		d.problem(n, path, what, "")
		return
	}
	d.list(n, v, f, path)
}

func (d *decoder) dictionary(n *yaml.Node, v reflect.Value, f *field, path string) {
	t := v.Type()
	if t.Key().Kind() != reflect.String {
		d.problem(n, path, fmt.Sprintf("a field of type %s cannot be written in YAML", t), "")
		return
	}
	out := reflect.MakeMapWithSize(t, len(n.Content)/2)
	d.pairs(n, path, func(key, value *yaml.Node) {
		at := join(path, key.Value)
		d.place(value, at)
		element := reflect.New(t.Elem()).Elem()
		d.value(value, element, f, at)
		out.SetMapIndex(reflect.ValueOf(key.Value).Convert(t.Key()), element)
	})
	v.Set(out)
}

// pairs calls each for every pair of a mapping whose key is sound and stands there for the first time.
func (d *decoder) pairs(n *yaml.Node, path string, each func(key, value *yaml.Node)) {
	seen := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if d.full() {
			return
		}
		if key.Kind == yaml.AliasNode && key.Alias != nil {
			d.problem(key, path, "an alias may not be a key", "")
			continue
		}
		if key.Kind != yaml.ScalarNode {
			d.problem(key, path, "a key must be a word, not "+d.describe(key), "")
			continue
		}
		if key.ShortTag() == "!!merge" {
			d.problem(key, path, "merge keys (<<) are not understood: write the fields out", "")
			continue
		}
		if first, twice := seen[key.Value]; twice {
			d.problem(key, join(path, key.Value), fmt.Sprintf("the key stands here twice, first in line %d", first.Line), "")
			continue
		}
		seen[key.Value] = key
		each(key, value)
	}
}

// free decodes into an any, for handlers that want one.
func (d *decoder) free(n *yaml.Node, v reflect.Value, path string) {
	var target reflect.Value
	switch n.Kind {
	case yaml.MappingNode:
		target = reflect.New(reflect.TypeFor[map[string]any]()).Elem()
	case yaml.SequenceNode:
		target = reflect.New(reflect.TypeFor[[]any]()).Elem()
	default:
		switch n.ShortTag() {
		case "!!int":
			target = reflect.New(reflect.TypeFor[int64]()).Elem()
		case "!!float":
			target = reflect.New(reflect.TypeFor[float64]()).Elem()
		case "!!bool":
			target = reflect.New(reflect.TypeFor[bool]()).Elem()
		default:
			target = reflect.New(reflect.TypeFor[string]()).Elem()
		}
	}
	d.value(n, target, &field{}, path)
	v.Set(target)
}
