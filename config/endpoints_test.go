package config_test

import (
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config"
)

func TestProblemsOfEndpointsHaveTheirPosition(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "n.yaml:1:1: empty",
		"# nothing\n":                  "n.yaml:1:1: empty",
		"---\n":                        "n.yaml:1:1: empty",
		"endpoints:\n":                 "n.yaml:1:11: endpoints: has no value: write a list",
		"- address: a:1\n":             "n.yaml:1:1: must be a mapping with the key endpoints, not a list",
		"endpoint: []\n":               "n.yaml:1:1: endpoint: unknown key (did you mean endpoints?)",
		"endpoints: [[a:1]]\n":         "n.yaml:1:13: endpoints[0]: must be a mapping, not a list",
		"endpoints: [a]\n":             `n.yaml:1:13: endpoints[0].address: "a" has no port`,
		"endpoints: [~]\n":             "n.yaml:1:13: endpoints[0]: has no value",
		"endpoints: [7]\n":             "n.yaml:1:13: endpoints[0].address: 7 has no host: write \"127.0.0.1:7\", or \":7\" for every address of this machine",
		"endpoints: [a:1, a:1]\n":      "n.yaml:1:18: endpoints[1].address: a:1 is already listed in line 1",
		"endpoints:\n  - weight: 1\n":  "n.yaml:2:5: endpoints[0].address: is required",
		"endpoints:\n  - address: a\n": `n.yaml:2:14: endpoints[0].address: "a" has no port`,
		"endpoints:\n  - {adr: a}\n":   "n.yaml:2:5: endpoints[0].address: is required\nn.yaml:2:6: endpoints[0].adr: unknown key",
		"endpoints:\n  - {address: a:1, weight: 0}\n":          "n.yaml:2:28: endpoints[0].weight: must be from 1 to 1000000, not 0",
		"endpoints:\n  - {address: a:1, weight: 1.5}\n":        "n.yaml:2:28: endpoints[0].weight: must be an integer, not 1.5",
		"endpoints:\n  - {address: a:1, metadata: [1]}\n":      "n.yaml:2:30: endpoints[0].metadata: must be a mapping, not a list",
		"endpoints:\n  - {address: a:1, metadata: {a: [1]}}\n": "n.yaml:2:34: endpoints[0].metadata.a: must be a string, not a list",
		"endpoints:\n  - address: a:1\n  - address: a:1\n":     "n.yaml:3:14: endpoints[1].address: a:1 is already listed in line 2",
		"endpoints: []\nendpoints: []\n":                       "n.yaml:2:1: endpoints: duplicate key, first in line 1",
		"endpoints: []\n---\nendpoints: []\n":                  "n.yaml:2:1: a second document",
		"endpoints: [\n":                                       "n.yaml:",
		strings.Repeat("[", 40_000):                            "n.yaml:1:",
		"endpoints: []\n" + strings.Repeat("#", 1<<20):         "n.yaml:1:1: has 1048590 bytes: the limit is 1 MiB",
	} {
		_, problems := config.DecodeEndpoints("n.yaml", []byte(text), nil)
		if err := problems.Err(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.60q:\n%v\nwant\n%s", text, err, want)
		}
	}
}

func TestEndpointsAreYAMLLikeOtherFiles(t *testing.T) {
	env := func(name string) (string, bool) { return "db", name == "HOST" }
	for text, want := range map[string]int{
		"endpoints: []\n": 0, "---\n# generated\n---\nendpoints: [a:1]\n---\n": 1, "endpoints: [\"${HOST}:1\", {address: \"${HOST}:2\"}]\n": 2,
		"x-zone: &zone {zone: 1}\nx-first: &first a:1\nendpoints: [*first, {address: b:1, metadata: *zone}]\n": 2,
		"x-all: &all [a:1, b:1]\nendpoints: *all\n":                                                            2, `{"endpoints": ["a:1"]}`: 1,
	} {
		if list, problems := config.DecodeEndpoints("n.yaml", []byte(text), env); problems != nil || len(list) != want || list == nil {
			t.Errorf("%q: %v, %v", text, list, problems)
		}
	}
}
