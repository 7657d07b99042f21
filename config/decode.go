package config

import (
	"reflect"

	"go.yaml.in/yaml/v4"
)

// DecodeManifest reads a manifest. All problems are reported at once; the manifest may be used only when Err of them is
// nil. file is what positions say, env looks up ${VAR} (nil: none is set).
func DecodeManifest(file string, data []byte, env func(string) (string, bool)) (*Manifest, Problems) {
	m := new(Manifest)
	d := newDecoder(file, env)
	d.file(data, reflect.ValueOf(m).Elem(), "empty: a manifest names at least its services", false)
	m.at = d.finish()
	m.complete()
	return m, d.problems.Sort()
}

// policyFile is the whole of a policy file.
type policyFile struct {
	Rules []Rule `yaml:"rules" required:"true" reload:"live" doc:"The rules."`
}

// DecodeRules reads a policy file.
func DecodeRules(file string, data []byte, env func(string) (string, bool)) ([]Rule, Problems) {
	var p policyFile
	d := newDecoder(file, env)
	d.file(data, reflect.ValueOf(&p).Elem(), "empty: to have no rules write `rules: []`", true)
	return p.Rules, d.problems.Sort()
}

// DecodeTokens reads a file of tokens. One without content is taken for an accident, and so are documents without.
func DecodeTokens(file string, data []byte, env func(string) (string, bool)) ([]Token, Problems) {
	var tokens []Token
	d := newDecoder(file, env)
	d.file(data, reflect.ValueOf(&tokens).Elem(), "empty: to have no tokens write `[]`", false)
	return tokens, d.problems.Sort()
}

// complete fills in the defaults that no tag can say.
func (m *Manifest) complete() {
	if len(m.Listeners) > 0 {
		return
	}
	d := newDecoder(m.at.file, nil)
	main := Listener{Name: "main", Address: "127.0.0.1:8972"}
	d.defaults(reflect.ValueOf(&main).Elem())
	m.Listeners = []Listener{main}
}

// placed is what keeps its own places.
type placed interface{ setPlaces(path string, at places) }

func (r *Rule) setPlaces(path string, at places) {
	r.path, r.at = path, at
	r.complete()
}

// complete fills in the defaults that depend on other fields.
func (r *Rule) complete() {
	if l := r.RateLimit; l != nil && l.Burst == 0 {
		l.Burst = int64(min(max(float64(l.Rate), 1), maxBurst))
	}
}

func (t *Token) setPlaces(_ string, at places) { t.position = at.position("") }

// decoder decodes the nodes of one file into typed values, strictly, and collects all that is wrong.
type decoder struct {
	name     string // of the file
	env      func(string) (string, bool)
	problems Problems

	scope    string // path of what keeps its own places, around path
	at       places
	types    map[reflect.Type]*structType
	paths    map[string]string     // one string for each path
	expanded map[*yaml.Node]string // what stood there before
	unset    map[*yaml.Node]bool   // could not be expanded, which is reported already
	root     *yaml.Node            // of the file; its x-… keys are for anchors
	unasked  map[*yaml.Node]string // what is wrong with the variables of such a key, if an alias asks for them
	aliased  *aliasGuard
	quiet    bool // values are not echoed
	trial    bool // what is suggested is tried

	blockList bool // the value stands in a list with a line for each element
	prefill   bool // absent fields keep what they have, instead of their default
}

func newDecoder(file string, env func(string) (string, bool)) *decoder {
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	return &decoder{
		name: file, env: env, at: places{file: file},
		types: map[reflect.Type]*structType{}, paths: map[string]string{}, expanded: map[*yaml.Node]string{},
		unset: map[*yaml.Node]bool{}, unasked: map[*yaml.Node]string{}, aliased: &aliasGuard{},
	}
}

// file decodes a whole file; empty is what is said about one without content. With blank, a file
// of documents that have none holds nothing.
func (d *decoder) file(data []byte, into reflect.Value, empty string, blank bool) {
	if root := d.open(data, into.Type(), empty, blank); root != nil {
		d.value(root, into, &field{}, "")
	}
}

// open parses a whole file and expands its variables. It returns nil when there is nothing to decode.
func (d *decoder) open(data []byte, into reflect.Type, empty string, blank bool) *yaml.Node {
	root, isBlank, problem := parse(data)
	if problem != nil {
		problem.File = d.name
		d.problems = append(d.problems, *problem)
		return nil
	}
	if root == nil && isBlank && blank {
		return nil
	}
	if root == nil || (root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null") {
		d.problems = append(d.problems, Problem{File: d.name, Line: 1, Column: 1, Message: empty})
		return nil
	}
	if other := otherFile(root, into); other != "" {
		d.problem(root, "", other, "")
		return nil
	}
	d.root = root
	d.place(root, "")
	d.expand(root, nil)
	return root
}

func (d *decoder) finish() places {
	d.at.sort()
	return d.at
}

// maxProblems is how many problems of a file are reported; whoever has more has another one.
const maxProblems = 200

// restNotShown is the message of the problem in place of those that are not reported.
const restNotShown = "more than 200 problems: the rest is not shown"

func (d *decoder) full() bool { return len(d.problems) > maxProblems }

// problem reports what is wrong with the value of n.
func (d *decoder) problem(n *yaml.Node, path, message, suggestion string) {
	switch {
	case d.full():
		return
	case len(d.problems) == maxProblems:
		path, message, suggestion = "", restNotShown, ""
	}
	d.problems = append(d.problems, Problem{
		File: d.name, Line: n.Line, Column: n.Column, Path: join(d.scope, path), Message: message, Suggestion: suggestion,
	})
}

// join puts two paths together.
func join(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	case b[0] == '[':
		return a + b
	default:
		return a + "." + b
	}
}

// intern makes one string of equal paths: thousands of rules have the same few.
func (d *decoder) intern(path string) string {
	if known, ok := d.paths[path]; ok {
		return known
	}
	d.paths[path] = path
	return path
}

func (d *decoder) place(n *yaml.Node, path string) {
	d.at.list = append(d.at.list, place{path: d.intern(path), line: int32(n.Line), column: int32(n.Column)})
}
