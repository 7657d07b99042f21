package config

import (
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v4"

	"github.com/easymicro/easymicro/config/lint"
)

// DecodeManifest decodes a manifest and reports all problems at once; the manifest may be used only if their Err is
// nil. file is the name in positions, env looks up ${VAR} (nil: none is set).
func DecodeManifest(file string, data []byte, env func(string) (string, bool)) (*Manifest, Problems) {
	m := new(Manifest)
	d := newDecoder(file, env)
	d.file(data, reflect.ValueOf(m).Elem(), fileKind{empty: "empty: a manifest lists at least its services", other: kubernetesObject})
	m.at = d.finish()
	m.complete()
	return m, d.problems.Sort()
}

// DecodeRules decodes a policy file.
func DecodeRules(file string, data []byte, env func(string) (string, bool)) ([]Rule, Problems) {
	var p PolicyFile
	d := newDecoder(file, env)
	d.file(data, reflect.ValueOf(&p).Elem(), fileKind{empty: "empty: to have no rules write `rules: []`", blank: true, other: notRules})
	return p.Rules, d.problems.Sort()
}

// DecodeTokens decodes a token file. A file without content, or with empty documents only, is an error: it is
// probably an accident.
func DecodeTokens(file string, data []byte, env func(string) (string, bool)) ([]Token, Problems) {
	var tokens []Token
	d := newDecoder(file, env)
	d.file(data, reflect.ValueOf(&tokens).Elem(), fileKind{empty: "empty: to have no tokens write `[]`", other: notTokens})
	return tokens, d.problems.Sort()
}

// DecodeAdminTokens decodes a file of admin tokens. A list without tokens is an error, since nobody could use the admin API.
func DecodeAdminTokens(file string, data []byte, env func(string) (string, bool)) ([]AdminToken, Problems) {
	const empty = "has no tokens: to have none, remove admin.tokens from the manifest"
	var tokens []AdminToken
	d := newDecoder(file, env)
	d.file(data, reflect.ValueOf(&tokens).Elem(), fileKind{empty: empty, other: notAdminTokens})
	if len(tokens) == 0 && d.problems.Err() == nil {
		d.problems = append(d.problems, Position{File: file, Line: 1, Column: 1}.Problem("", empty).Coded(lint.Empty))
	}
	return tokens, d.problems.Sort()
}

// DecodeEndpoints decodes an endpoints file. A file without content, or with empty documents only, is an error: it
// is probably an accident.
func DecodeEndpoints(file string, data []byte, env func(string) (string, bool)) ([]Endpoint, Problems) {
	var f EndpointsFile
	d := newDecoder(file, env)
	if root := d.open(data, fileKind{empty: "empty: to have no endpoints write `endpoints: []`", other: kubernetesObject}); root != nil {
		spellOut(root)
		d.value(root, reflect.ValueOf(&f).Elem(), &field{}, "")
	}
	problems := d.problems.With(checkEndpoints(&f, d.finish()))
	return f.Endpoints, problems.Sort()
}

// spellOut turns endpoints written as a bare address into mappings.
func spellOut(root *yaml.Node) {
	list := valueOf(root, "endpoints")
	if list == nil {
		return
	}
	if list = followed(list); list.Kind != yaml.SequenceNode {
		return
	}
	for j, n := range list.Content {
		if target := followed(n); target.Kind == yaml.ScalarNode && target.ShortTag() != "!!null" {
			key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "address", Line: n.Line, Column: n.Column}
			list.Content[j] = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: n.Line, Column: n.Column, Content: []*yaml.Node{key, n}}
		}
	}
}

// followed returns the target of an alias, or the node itself.
func followed(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// checkEndpoints finds addresses that cannot be called or are listed twice.
func checkEndpoints(f *EndpointsFile, at positions) Problems {
	var problems Problems
	var seen names
	for i, e := range f.Endpoints {
		as, path := lint.BadSetting, fmt.Sprintf("endpoints[%d].address", i)
		position := at.position(path)
		key, wrong := e.Address.callable()
		if first, taken := seen.taken(key, position); wrong == "" && taken {
			as, wrong = lint.NameTaken, fmt.Sprintf("%s is already listed in line %d", e.Address, first.Line)
		}
		if wrong != "" && e.Address != "" {
			problems = append(problems, position.Problem(path, wrong).Coded(as))
		}
	}
	return problems
}

// Outline is the top level of a file.
type Outline struct {
	Keys  []string // keys of a mapping in file order, without extensions
	List  bool     // the file is a list
	Rules bool     // the list is one of rules, which belongs under the key rules
	Admin bool     // the list is one of admin tokens
	Blank bool     // the file has only empty documents
}

// OutlineOf returns the outline of a file; it is empty if the file is not YAML.
func OutlineOf(data []byte) Outline {
	root, blank, problem := parse(data)
	if root == nil || problem != nil {
		return Outline{Blank: blank && problem == nil}
	}
	o := Outline{List: root.Kind == yaml.SequenceNode}
	if root.Kind != yaml.MappingNode {
		o.Rules, o.Admin = isListOfRules(root), isListOfAdminTokens(root)
		return o
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if key := root.Content[i].Value; !isExtension(key) {
			o.Keys = append(o.Keys, key)
		}
	}
	return o
}

// notRules returns what a file is instead of a policy file, or "". Otherwise each of its keys would be reported.
func notRules(root *yaml.Node) string {
	object := kubernetesObject(root)
	switch {
	case object != "":
		return object
	case isListOfRules(root):
		return "must be a mapping with the key rules, not a list: write rules: above it"
	case isListOfAdminTokens(root):
		return "is a list of admin tokens, which belongs under admin.tokens.file; a policy file is a mapping with the key rules"
	case isListWith(root, "sha256"):
		return "is a list of tokens, which belongs under auth.tokens.file; a policy file is a mapping with the key rules"
	case root.Kind == yaml.MappingNode && hasKey(root, "services") && !hasKey(root, "rules"):
		return "is a manifest, not a policy file, which is a mapping with the key rules"
	}
	return ""
}

// notTokens is notRules for files of tokens.
func notTokens(root *yaml.Node) string {
	object := kubernetesObject(root)
	switch {
	case object != "":
		return object
	case isListOfRules(root):
		return "is a list of rules: write rules: above it, and name the file under policies.files; a file of tokens is a list of {caller, sha256}"
	case root.Kind == yaml.MappingNode && hasKey(root, "rules"):
		return "is a policy file, which belongs under policies.files; a file of tokens is a list of {caller, sha256}"
	case isListOfAdminTokens(root):
		return "is a list of admin tokens, which belongs under admin.tokens.file; a file of tokens is a list of {caller, sha256}"
	}
	return ""
}

// notAdminTokens is notRules for files of admin tokens.
func notAdminTokens(root *yaml.Node) string {
	if isListWith(root, "caller") {
		return "is a list of tokens of callers, which belongs under auth.tokens.file; a file of admin tokens is a list of {name, sha256, role}"
	}
	return kubernetesObject(root)
}

// notPolicyTest returns a message about a document that is not a file of policy tests, or "".
func notPolicyTest(root *yaml.Node) string {
	object := kubernetesObject(root)
	switch {
	case object != "":
		return object
	case root.Kind == yaml.SequenceNode:
		return "must be a mapping with the key cases, not a list: write cases: above it"
	case root.Kind == yaml.MappingNode && hasKey(root, "services") && !hasKey(root, "cases"):
		return "is a manifest, not a file of policy tests, which is a mapping with the key cases"
	case root.Kind == yaml.MappingNode && hasKey(root, "rules") && !hasKey(root, "cases"):
		return "is a policy file, not a file of policy tests, which is a mapping with the key cases"
	}
	return ""
}

// isListOfRules reports whether the first element of a list looks like a rule.
func isListOfRules(root *yaml.Node) bool {
	return isListWith(root, "match") && !isListWith(root, "sha256")
}

// isListOfAdminTokens reports whether the first element of a list looks like an admin token.
func isListOfAdminTokens(root *yaml.Node) bool {
	return isListWith(root, "sha256") && (isListWith(root, "role") || isListWith(root, "name"))
}

// isListWith reports whether root is a list whose first element has a key.
func isListWith(root *yaml.Node, key string) bool {
	return root.Kind == yaml.SequenceNode && len(root.Content) > 0 &&
		root.Content[0].Kind == yaml.MappingNode && hasKey(root.Content[0], key)
}

// kubernetesObject returns a message if the file is a Kubernetes object, or "".
func kubernetesObject(root *yaml.Node) string {
	if root.Kind != yaml.MappingNode || !hasKey(root, "apiVersion") || !hasKey(root, "kind") {
		return ""
	}
	kind := valueOf(root, "kind").Value
	if kind == "ConfigMap" || kind == "Secret" {
		return fmt.Sprintf("is a Kubernetes object (%s): mount it and name the mounted files, which contain only what is under its data", kind)
	}
	return fmt.Sprintf("is a Kubernetes object (%s), not a file of easymicro: easymicro schema shows the fields of these", clip(kind))
}

// CompleteRules returns a copy of rules made by a program with the documented defaults in place of zero values, and
// all problems. Problems have no positions; their paths begin with the name of the rule:
// rules[billing-calls].retry.maxAttempts.
func CompleteRules(rules []Rule) ([]Rule, Problems) {
	c := &completer{types: structTypes{}}
	completed := make([]Rule, len(rules))
	for i := range rules {
		r := rules[i]
		r.path, r.at = "rules["+r.Name+"]", positions{}
		if r.Name == "" {
			r.path = fmt.Sprintf("rules[%d]", i)
		}
		c.scope = r.path
		c.complete(reflect.ValueOf(&r).Elem(), "")
		r.complete()
		completed[i] = r
	}
	return completed, c.problems.With(validateRules(completed))
}

// completer fills in the defaults of rules made by a program.
type completer struct {
	types    structTypes
	scope    string // the rule
	problems Problems
}

// complete fills in the defaults of a struct and checks its values. Pointers and lists are replaced by copies.
func (c *completer) complete(v reflect.Value, path string) {
	for _, f := range c.types.of(v.Type()).fields {
		fv, at := v.FieldByIndex(f.index), join(path, f.name)
		switch {
		case fv.IsZero() && f.required:
			c.coded(lint.MissingKey, at, "is required", "")
		case fv.IsZero() && f.hasDef:
			f.setDefault(fv)
		case fv.IsZero():
		case f.later != "":
			c.coded(lint.NotSupported, at, f.notSupported(), "")
			fv.SetZero()
		default:
			c.completeValue(fv, f, at)
		}
	}
}

func (c *completer) completeValue(v reflect.Value, f *field, path string) {
	switch t := v.Type(); {
	case t.Kind() == reflect.Pointer:
		own := reflect.New(t.Elem())
		own.Elem().Set(v.Elem())
		v.Set(own)
		c.completeValue(own.Elem(), f, path)
	case isScalar(t):
		if message, suggestion := check(v, f); message != "" {
			c.coded(lint.NotAccepted, path, message, suggestion)
		}
	case t.Kind() == reflect.Struct:
		c.complete(v, path)
	case t == claimsType:
		own := reflect.MakeMapWithSize(t, v.Len())
		for _, key := range sortedKeys(v, v) {
			patterns := reflect.New(patternsType).Elem()
			patterns.Set(v.MapIndex(key))
			c.completeValue(patterns, f, join(path, key.String()))
			own.SetMapIndex(key, patterns)
		}
		v.Set(own)
	case t.Kind() == reflect.Slice:
		own := reflect.MakeSlice(t, v.Len(), v.Len())
		reflect.Copy(own, v)
		v.Set(own)
		for i := range own.Len() {
			c.completeValue(own.Index(i), f, fmt.Sprintf("%s[%d]", path, i))
		}
	}
}

// coded reports a problem of a rule made by a program.
func (c *completer) coded(as lint.Code, path, message, suggestion string) {
	c.problems = append(c.problems, Problem{Path: join(c.scope, path), Message: message, Suggestion: suggestion}.Coded(as))
}
