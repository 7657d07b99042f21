package schema_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/schema"
)

// node is the part of a schema that an editor shows.
type node struct {
	Schema               string           `json:"$schema"`
	ID                   string           `json:"$id"`
	Title                string           `json:"title"`
	Description          string           `json:"description"`
	Properties           map[string]*node `json:"properties"`
	AdditionalProperties json.RawMessage  `json:"additionalProperties"`
	Items                *node            `json:"items"`
	AnyOf                []*node          `json:"anyOf"`
	Type                 any              `json:"type"`
	AllOf                []*node          `json:"allOf"`
	Then                 *node            `json:"then"`
	Enum                 []any            `json:"enum"`
	Default              any              `json:"default"`
}

func manifestNode(t *testing.T, reg *registry.Registry, services ...string) *node {
	t.Helper()
	text, err := schema.Manifest(reg, services...)
	if err != nil {
		t.Fatal(err)
	}
	n := new(node)
	if err := json.Unmarshal(text, n); err != nil {
		t.Fatal(err)
	}
	return n
}

// at follows a path of keys; [] selects the items of a list.
func (n *node) at(t *testing.T, path string) *node {
	t.Helper()
	for _, key := range strings.Split(strings.ReplaceAll(path, "[]", ".[]"), ".") {
		next := n.Items
		if key != "[]" {
			next = n.Properties[key]
		}
		if next == nil {
			t.Fatalf("nothing at %s of %s", key, path)
		}
		n = next
	}
	return n
}

// words returns the values that an editor suggests.
func (n *node) words() []any {
	words := slices.Clone(n.Enum)
	for _, a := range n.AnyOf {
		words = append(words, a.words()...)
	}
	return words
}

func TestTheSchemaHasATitleAndAnID(t *testing.T) {
	n := manifestNode(t, handlers())
	if n.Schema != "https://json-schema.org/draft/2020-12/schema" || n.ID == "" || n.Title == "" || n.Description == "" {
		t.Errorf("$schema %q, $id %q, title %q, description %q", n.Schema, n.ID, n.Title, n.Description)
	}
}

func TestEveryKeyHasADescription(t *testing.T) {
	var visit func(path string, n *node)
	visit = func(path string, n *node) {
		if n == nil {
			return
		}
		if len(n.Properties) > 0 && string(n.AdditionalProperties) != "false" {
			t.Errorf("%s takes unknown keys", path)
		}
		for _, key := range slices.Sorted(maps.Keys(n.Properties)) {
			p := n.Properties[key]
			if p.Description == "" {
				t.Errorf("%s.%s has no description", path, key)
			}
			visit(path+"."+key, p)
		}
		visit(path+"[]", n.Items)
		for _, a := range n.AnyOf {
			visit(path, a)
		}
	}
	visit("", manifestNode(t, registry.New()))
}

// The reference and the schema are two readings of the same tags.
func TestTheSchemaHasExactlyTheFieldsThatAreSupported(t *testing.T) {
	got := map[string]bool{}
	var visit func(path string, n *node)
	visit = func(path string, n *node) {
		for key, p := range n.Properties {
			got[strings.TrimPrefix(path+"."+key, ".")] = true
			visit(path+"."+key, p)
		}
		if n.Items != nil {
			visit(path+"[]", n.Items)
		}
		for _, a := range n.AnyOf {
			isOff := func(o *node) bool { return slices.Equal(o.Enum, []any{"off"}) }
			isName := func(o *node) bool { return o.Type == "string" && a.Properties != nil }
			// A list beside one mapping, or a mapping beside off or the name alone.
			if a.Items != nil || slices.ContainsFunc(n.AnyOf, isOff) || slices.ContainsFunc(n.AnyOf, isName) {
				visit(path, a)
			}
		}
	}
	visit("", manifestNode(t, registry.New()))

	var later []string // may be left out, or taken as what holds anyway
	want := map[string]bool{}
	for _, f := range fields() {
		path := f.path
		if path == "rules" || strings.HasPrefix(path, "rules[]") { // of a policy file, as in the manifest
			path = "policies." + path
		}
		switch {
		case inside(path, later), strings.HasPrefix(path, "tokens"), strings.HasPrefix(path, "adminTokens"), strings.HasPrefix(path, "endpoints"), strings.HasPrefix(path, "[]"):
		case f.later:
			later = append(later, path)
			delete(got, path)
		default:
			want[path] = true
		}
	}
	for _, p := range slices.Sorted(maps.Keys(want)) {
		if !got[p] {
			t.Errorf("the reference has %s, the schema does not", p)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(got)) {
		if !want[p] {
			t.Errorf("the schema has %s, the reference does not", p)
		}
	}
}

func inside(path string, all []string) bool {
	return slices.ContainsFunc(all, func(a string) bool {
		return strings.HasPrefix(path, a+".") || strings.HasPrefix(path, a+"[")
	})
}

func TestAnEditorCompletesWhatIsCompiledIn(t *testing.T) {
	n := manifestNode(t, handlers(), "Calc")
	for path, want := range map[string][]any{
		"services[].handler":               {"test.calc", "test.plain"},
		"gateway.routes[].service":         {"Calc"},
		"gateway.routes[].method":          {"Div", "Mul"},
		"policies.rules[].match.method":    {"Div", "Mul"},
		"policies.rules[].match.service":   {"Calc"},
		"policies.rules[].mode":            {"enforce", "shadow", "off"},
		"telemetry.logs.level":             {"debug", "info", "warn", "error"},
		"policies.rules[].rateLimit.scope": {"host"},
	} {
		if got := n.at(t, path).words(); !slices.Equal(got, want) {
			t.Errorf("%s offers %v, want %v", path, got, want)
		}
	}
}

func TestHandlerOptionsShowTheirDefaults(t *testing.T) {
	service := manifestNode(t, handlers()).at(t, "services[]")
	if len(service.AllOf) != 2 {
		t.Fatalf("%d handlers, want 2", len(service.AllOf))
	}
	options := service.AllOf[0].Then.at(t, "options")
	if d := options.at(t, "precision").Description; d != "Digits behind the point." {
		t.Errorf("description %q", d)
	}
	for path, want := range map[string]any{"precision": 4.0, "pause": "1s", "labels": nil, "inner.maxItems": 7.0, "peer": "10.0.0.1", "size": "1MiB"} {
		if got := options.at(t, path).Default; got != want {
			t.Errorf("the default of %s is %v, want %v", path, got, want)
		}
	}
}

func TestDefaultsAreWrittenAsInYAML(t *testing.T) {
	n := manifestNode(t, registry.New())
	for path, want := range map[string]any{
		"listeners[].limits.maxConnections":      16384.0,
		"listeners[].limits.maxMessageBytes":     "4MiB",
		"policies.allowEmpty":                    false,
		"policies.watch.debounce":                "100ms",
		"policies.rules[].circuitBreaker.window": "10s",
		"policies.rules[].name":                  nil,
	} {
		if got := n.at(t, path).Default; got != want {
			t.Errorf("the default of %s is %v, want %v", path, got, want)
		}
	}
	got, _ := n.at(t, "listeners[].protocols").Default.([]any)
	if !slices.Equal(got, []any{"rpcx", "http"}) {
		t.Errorf("the default of protocols is %v", got)
	}
}
