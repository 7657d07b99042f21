package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Effective is a set as it is in force: with the defaults, all rules under policies.rules, and without secrets.
type Effective struct {
	YAML   string                    `json:"yaml"` // a manifest; each value has its place or "default" as a comment
	Values map[string]EffectiveValue `json:"values"`
}

// EffectiveValue is a scalar, a list of scalars or an empty mapping, by its path in the manifest.
type EffectiveValue struct {
	Value    any  `json:"value"`
	Position      // where the value is written; File is the flag or the variable that sets it, if one does
	Default  bool `json:"default,omitempty"`
}

// EffectiveOf returns a set as it is in force. What has neither a value nor a default in its type is left out. Of the options of
// handlers it shows what is written and cannot be a secret, as Diff does, and of files only the names.
func EffectiveOf(s *Set) (*Effective, error) {
	m := *s.Manifest
	m.Policies.Rules = s.Rules
	e := &effectiveWriter{
		types: structTypes{}, values: map[string]EffectiveValue{}, position: m.Position,
		written: func(path string) bool { return m.Written(path) || m.sources[path] != "" },
	}
	root := e.mapping("", reflect.ValueOf(&m).Elem())
	text, err := yaml.Dump(root, yaml.WithLineWidth(-1), yaml.WithCompactSeqIndent(false), yaml.WithQuotePreference(yaml.QuoteDouble))
	if err != nil {
		return nil, fmt.Errorf("write the configuration: %w", err)
	}
	return &Effective{YAML: string(text), Values: e.values}, nil
}

// effectiveWriter turns the values of a set into YAML.
type effectiveWriter struct {
	types    structTypes
	values   map[string]EffectiveValue
	scope    string // path of the value whose positions are used
	position func(path string) Position
	written  func(path string) bool
}

// mapping returns the fields of a struct that have a value; nil if none has and the struct is not written.
func (e *effectiveWriter) mapping(path string, v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range e.types.of(v.Type()).fields {
		if value := e.field(join(path, f.name), v.FieldByIndex(f.index), f); value != nil {
			n.Content = append(n.Content, textNode(f.name), value)
		}
	}
	return e.orEmpty(path, n)
}

// orEmpty returns n. If n has no content, it returns an empty mapping if one is written, and nil otherwise.
func (e *effectiveWriter) orEmpty(path string, n *yaml.Node) *yaml.Node {
	switch {
	case len(n.Content) > 0:
		return n
	case !e.written(path):
		return nil
	}
	n.Style = yaml.FlowStyle
	return e.leaf(path, n, map[string]any{})
}

// field returns the value of a field; nil if it has none.
func (e *effectiveWriter) field(path string, v reflect.Value, f *field) *yaml.Node {
	isBlock := v.Kind() == reflect.Struct && !isScalar(v.Type()) && v.Type() != rawOptionsType
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil() && f.scalar != "":
		return e.leaf(path, textNode(f.scalar), f.scalar)
	case !isBlock && v.IsZero() && !f.hasDef && !e.written(path):
		return nil
	}
	return e.value(path, v)
}

func (e *effectiveWriter) value(path string, v reflect.Value) *yaml.Node {
	switch t := v.Type(); {
	case t == rawOptionsType:
		return e.options(path, optionsOf(v))
	case t.Kind() == reflect.Pointer:
		return e.value(path, v.Elem())
	case (t == patternsType || t == keyType) && v.Len() == 1:
		return e.value(path, v.Index(0))
	case oneOrList[t] && v.Len() == 1 && !e.written(path+"[0]"):
		return e.mapping(path, v.Index(0))
	case t.Kind() == reflect.Slice && !isScalar(t.Elem()) && v.Len() > 0:
		return e.blocks(path, v)
	case t.Kind() == reflect.Slice:
		return e.list(path, v)
	case t.Kind() == reflect.Map:
		return e.dictionary(path, v)
	case t.Kind() == reflect.Struct && !isScalar(t):
		return e.mapping(path, v)
	default:
		return e.leaf(path, scalarNode(v), plainScalar(v))
	}
}

// blocks returns a list of structs. Rules have positions of their own.
func (e *effectiveWriter) blocks(path string, v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for i := range v.Len() {
		at := path + "[" + strconv.Itoa(i) + "]"
		if r, ok := v.Index(i).Addr().Interface().(*Rule); ok {
			own := *e
			own.scope, own.position, own.written = join(e.scope, at), r.Position, r.at.written
			n.Content = append(n.Content, own.mapping("", v.Index(i)))
			continue
		}
		n.Content = append(n.Content, e.mapping(at, v.Index(i)))
	}
	return n
}

func (e *effectiveWriter) list(path string, v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	values := make([]any, v.Len())
	for i := range values {
		n.Content = append(n.Content, scalarNode(v.Index(i)))
		values[i] = plainScalar(v.Index(i))
	}
	return e.leaf(path, n, values)
}

func (e *effectiveWriter) dictionary(path string, v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, key := range sortedKeys(v, v) {
		n.Content = append(n.Content, textNode(key.String()), e.value(join(path, key.String()), v.MapIndex(key)))
	}
	return e.orEmpty(path, n)
}

// options returns the options of a handler.
func (e *effectiveWriter) options(path string, o RawOptions) *yaml.Node {
	own := *e
	own.written = func(string) bool { return true }
	plain, _ := o.plain().(map[string]any)
	return own.option(path, "", plain, followed(o.node), o.file)
}

// option returns an option and those below it, with their positions in a file; what may be a secret is hidden. name is the path
// inside the options: options below a name that suggests a secret may be secrets, too.
func (e *effectiveWriter) option(path, name string, v any, at *yaml.Node, file string) *yaml.Node {
	e.position = func(string) Position { return Position{File: file, Line: at.Line, Column: at.Column} }
	below, isMapping := v.(map[string]any)
	if !isMapping {
		v = withoutSecrets(name, v)
		return e.leaf(path, freeNode(v), v)
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, key := range slices.Sorted(maps.Keys(below)) {
		n.Content = append(n.Content, textNode(key), e.option(join(path, key), join(name, key), below[key], followed(valueOf(at, key)), file))
	}
	return e.orEmpty(path, n)
}

// withoutSecrets returns an option, or "…" in place of what may be a secret.
func withoutSecrets(name string, v any) any {
	list, isList := v.([]any)
	if !isList {
		if text := harmless(name, v); text == hidden {
			return text
		}
		return v
	}
	shown := make([]any, len(list))
	for i := range list {
		shown[i] = withoutSecrets(name, list[i])
	}
	return shown
}

// leaf records a value with its position, and adds the position to its line as a comment.
func (e *effectiveWriter) leaf(path string, n *yaml.Node, value any) *yaml.Node {
	kept := EffectiveValue{Value: value, Default: !e.written(path)}
	n.LineComment = "default"
	if !kept.Default {
		kept.Position = e.position(path)
		n.LineComment = kept.Position.String()
	}
	e.values[join(e.scope, path)] = kept
	return n
}

// plainScalar returns a scalar for JSON: a boolean, a number, or its text.
func plainScalar(v reflect.Value) any {
	text := show(v)
	switch tag := plainTag(text); {
	case v.Kind() == reflect.Bool:
		return v.Bool()
	case v.Kind() != reflect.String && (tag == "!!int" || tag == "!!float"):
		return json.Number(text)
	}
	return text
}

func scalarNode(v reflect.Value) *yaml.Node {
	if v.Kind() == reflect.String {
		return textNode(v.String())
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: show(v)}
}

// freeNode returns an option as a node.
func freeNode(v any) *yaml.Node {
	switch v := v.(type) {
	case string:
		return textNode(v)
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, element := range v {
			n.Content = append(n.Content, freeNode(element))
		}
		return n
	default:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(v)}
	}
}

// textNode returns a string as it is written in a manifest, where ${ begins a variable.
func textNode(text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: strings.ReplaceAll(text, "${", "$${")}
	if strings.ContainsAny(text, "\n\r\t") {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}
