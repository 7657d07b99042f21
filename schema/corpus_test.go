package schema_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/schema"
)

// A validator holds the schemas of a binary.
type validator struct{ manifest, policies, tests *jsonschema.Schema }

func newValidator(t *testing.T, reg *registry.Registry) validator {
	t.Helper()
	return validator{
		manifest: compile(t, reg, schema.Manifest), policies: compile(t, reg, schema.Policies), tests: compile(t, reg, schema.PolicyTest),
	}
}

func compile(t *testing.T, reg *registry.Registry, of func(*registry.Registry, ...string) ([]byte, error)) *jsonschema.Schema {
	t.Helper()
	text, err := of(reg)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json") // checks the document against the meta-schema that it names
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// kind returns the kind of a file of the corpus or of a sample, by its outermost keys.
type kind string

const (
	manifest kind = "manifest"
	policies kind = "policies"
	tests    kind = "tests"
	tokens   kind = "tokens"
	foreign  kind = "foreign" // for another program: alert rules, objects of Kubernetes
	unknown  kind = "unknown"
)

func kindOf(doc any) kind {
	top, ok := doc.(map[string]any)
	if !ok {
		if _, list := doc.([]any); list {
			return tokens
		}
		return unknown
	}
	for _, key := range []string{"groups", "scrape_configs", "apiVersion"} {
		if _, ok := top[key]; ok {
			return foreign
		}
	}
	if _, ok := top["cases"]; ok {
		return tests
	}
	_, rules := top["rules"]
	for key := range top {
		if key != "rules" && !strings.HasPrefix(key, "x-") {
			return manifest
		}
	}
	if rules {
		return policies
	}
	return manifest
}

func (v validator) validate(doc any) error {
	switch kindOf(doc) {
	case policies:
		return v.policies.Validate(doc)
	case tests:
		return v.tests.Validate(doc)
	default:
		return v.manifest.Validate(doc)
	}
}

// read is a YAML file as an editor's language server sees it: timestamps and merge keys are nothing special.
func read(t *testing.T, path string) (any, error) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return fromYAML(text)
}

func fromYAML(text []byte) (any, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var n yaml.Node
		if err := d.Decode(&n); errors.Is(err, io.EOF) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		r := reader{left: 100_000}
		doc := r.node(&n)
		if r.left <= 0 {
			return nil, errors.New("aliases that stand for too much")
		}
		if doc != nil { // each document is checked alone, and there is nothing to check in an empty one
			return doc, nil
		}
	}
}

// reader bounds what aliases expand to: one may stand for billions of values, or for itself.
type reader struct{ left int }

func (r *reader) node(n *yaml.Node) any {
	if r.left--; r.left <= 0 {
		return nil
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return r.node(n.Content[0])
	case yaml.AliasNode:
		return r.node(n.Alias)
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = r.node(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		l := []any{}
		for _, c := range n.Content {
			l = append(l, r.node(c))
		}
		return l
	case yaml.ScalarNode:
		return fromScalar(n)
	}
	return nil
}

func fromScalar(n *yaml.Node) any {
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return n.Value == "true"
	case "!!int", "!!float":
		if f, err := strconv.ParseFloat(strings.ReplaceAll(n.Value, "_", ""), 64); err == nil {
			return f
		}
	}
	return n.Value
}

// glob lists files, and fails where it finds none: a test over nothing proves nothing.
func glob(t *testing.T, patterns ...string) []string {
	t.Helper()
	var all []string
	for _, p := range patterns {
		files, err := filepath.Glob(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, files...)
	}
	if len(all) == 0 {
		t.Fatalf("no file matches %s", strings.Join(patterns, " or "))
	}
	return all
}
