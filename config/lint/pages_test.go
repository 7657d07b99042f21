package lint_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/lint"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/samples"
)

// missed has a method that is served and one that is not.
type missed struct{}

func (missed) Served(context.Context, *samples.Args, *samples.Reply) error { return nil }
func (missed) Missed(context.Context, *samples.Args, samples.Reply) error  { return nil }

// handlersOfPages has the handlers that the examples of pages name.
func handlersOfPages() *registry.Registry {
	reg := registry.New()
	registry.Plain(new(samples.Arith), registry.As("samples.arith"), registry.In(reg))
	registry.Plain(new(samples.Arith), registry.As("test.orders"), registry.Uses("billing"), registry.In(reg))
	registry.Plain(missed{}, registry.As("test.missed"), registry.In(reg))
	return reg
}

// aroundPages is the manifest of examples that are policy files.
const aroundPages = `
services:
  - {name: Arith, handler: samples.arith}
  - {name: Orders, handler: test.orders, uses: {billing: billing}}
upstreams:
  - {name: billing, service: Billing, resolve: {endpoints: ["tcp://10.0.0.5:8972", "tcp://10.0.0.6:8972"]}, idempotent: [GetInvoice]}
auth: {identify: [token], tokens: {file: tokens.yaml}}
policies: {files: [policies.yaml]}
`

// page is an example with the files that belong to it.
type page struct{ dir string }

func newPage(t *testing.T, around string) page {
	t.Helper()
	p := page{t.TempDir()}
	for name, text := range map[string]string{
		"easymicro.yaml": around, "policies.yaml": "rules: []", "nodes.yaml": "endpoints: []", "empty.txt": "\n", "token.txt": "secret\n",
		"tokens.yaml":    "- {caller: web, sha256: 41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb}\n",
		"readers.yaml":   "- {name: grafana, role: read, sha256: 41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb}\n",
		"operators.yaml": "- {name: ann, role: operate, sha256: 41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb}\n",
		"other/a.yaml":   "rules: []", "other/b.yml": "rules: []",
	} {
		p.write(t, name, text)
	}
	return p
}

func (p page) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// env has the variables of the examples.
func (page) env(name string) (string, bool) {
	if name != "TOMORROW" {
		return "", false
	}
	return time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339), true
}

func (p page) load() (*config.Set, config.Problems) {
	set, err := load.Load(filepath.Join(p.dir, "easymicro.yaml"), load.Options{Env: p.env})
	if problems, ok := errors.AsType[config.Problems](err); ok {
		return nil, problems
	}
	problems, _ := config.IgnoresIn(set.TextsByPath()).Of(host.Check(set, handlersOfPages()), time.Now())
	return set, problems
}

// problemsOf returns the problems of an example.
func problemsOf(t *testing.T, example string) config.Problems {
	t.Helper()
	switch {
	case strings.HasPrefix(example, "cases:"):
		_, problems := config.DecodePolicyTest("test.yaml", []byte(example), nil)
		return problems
	case strings.HasPrefix(example, "services:"):
		_, problems := newPage(t, example).load()
		return problems
	}
	p := newPage(t, aroundPages)
	p.write(t, "policies.yaml", example)
	_, problems := p.load()
	return problems
}

// edited returns the problems of an edit of the policy file, as apply and diff show them.
func edited(t *testing.T, around, before, after string) config.Problems {
	t.Helper()
	p := newPage(t, around)
	p.write(t, "policies.yaml", before)
	old, problems := p.load()
	if len(problems) > 0 {
		t.Fatalf("before the edit: %v", problems)
	}
	p.write(t, "policies.yaml", after)
	next, problems := p.load()
	if next == nil {
		t.Fatal(problems)
	}
	e := config.Edit{Old: old, Next: next, Changes: config.Diff(old, next)}
	return append(append(problems, e.Judge()...), config.Lost(old, next).Warnings()...)
}

// manyRules returns n rules for one method.
func manyRules(n int) string {
	var b strings.Builder
	b.WriteString("rules:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {name: r%d, mode: shadow, match: {service: Arith, method: Mul}, rateLimit: {rate: 5}}\n", i)
	}
	return b.String()
}

const onlyWeb = "rules: [{name: only-web, match: {service: Arith}, access: {allow: [{caller: web}]}}]"

// special has the examples that need more than one text: an edit, the environment, a long file.
var special = map[lint.Code]func(t *testing.T, good bool) config.Problems{
	lint.TooMany: func(t *testing.T, good bool) config.Problems {
		if good {
			return problemsOf(t, manyRules(70))
		}
		return problemsOf(t, manyRules(101))
	},
	lint.Doubled: func(t *testing.T, good bool) config.Problems {
		if good {
			return edited(t, aroundPages, manyRules(50), manyRules(90))
		}
		return edited(t, aroundPages, manyRules(20), manyRules(120))
	},
	lint.NearBound: func(t *testing.T, good bool) config.Problems {
		n := 900_000
		if good {
			n = 100_000
		}
		return problemsOf(t, "rules: []\n"+strings.Repeat("# comment\n", n/10))
	},
	lint.UnknownVariable: func(t *testing.T, good bool) config.Problems {
		if good {
			t.Setenv("EASYMICRO_LISTEN", ":8080")
		} else {
			t.Setenv("EASYMICRO_LISTN", ":8080")
		}
		return problemsOf(t, pageOf(lint.UnknownVariable).Bad)
	},
	lint.Overridden: func(t *testing.T, good bool) config.Problems {
		if !good {
			t.Setenv("GOGC", "50")
		}
		return problemsOf(t, pageOf(lint.Overridden).Bad)
	},
	lint.Wider: func(t *testing.T, good bool) config.Problems {
		if good {
			return edited(t, aroundPages, onlyWeb, onlyWeb)
		}
		return edited(t, aroundPages, onlyWeb, "rules: []")
	},
	lint.WiderRefused: func(t *testing.T, good bool) config.Problems {
		refuse := strings.Replace(aroundPages, "policies: {", "policies: {widening: refuse, ", 1)
		if good {
			return edited(t, refuse, onlyWeb, onlyWeb)
		}
		return edited(t, refuse, onlyWeb, "rules: []")
	},
	lint.Lost: func(t *testing.T, good bool) config.Problems {
		before := "rules: [{name: slow, match: {service: Arith}, timeout: 1s}]"
		if good {
			return edited(t, aroundPages, before, strings.Replace(before, "name: slow", "name: slower, was: slow", 1))
		}
		return edited(t, aroundPages, before, "rules: []")
	},
}

func pageOf(c lint.Code) lint.Page {
	p, _ := lint.PageOf(c)
	return p
}

var update = flag.Bool("update", false, "write CODES.md anew")

func TestCodesFileIsWhatThePagesSay(t *testing.T) {
	const file = "../CODES.md"
	var b strings.Builder
	b.WriteString(`# Codes of problems

Generated from the pages in ` + "`config/lint` by `.ci/run generate`" + `. Each problem that ` + "`easymicro validate`" + ` prints ends in its code;
` + "`easymicro validate --explain EM304`" + ` prints the section of one. EM1xx are about the text of a file, EM2xx about names and
conflicting settings, EM3xx about numbers, EM4xx about danger. A set with errors is not applied; warnings do not
prevent that. Problems of a running process, such as a disk that is full, have no code.

Examples that begin with ` + "`rules:`" + ` are policy files, those with ` + "`cases:`" + ` policy tests, all others manifests.

| code | | |
|---|---|---|
`)
	for _, p := range lint.Pages() {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", p.Code, anchor(p), p.Kind(), p.Title)
	}
	for _, p := range lint.Pages() {
		b.WriteString("\n" + p.Markdown())
	}
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Error("config/CODES.md is not what the pages say: .ci/run generate")
	}
}

// anchor returns the anchor that GitHub gives the heading of a page.
func anchor(p lint.Page) string {
	heading, _, _ := strings.Cut(strings.TrimPrefix(p.Markdown(), "## "), "\n")
	keep := func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		}
		return -1
	}
	return strings.Map(keep, strings.ToLower(heading))
}

func TestPagesAreCompleteAndInOrder(t *testing.T) {
	for i, p := range lint.Pages() {
		if p.Title == "" || p.Text == "" || p.Fix == "" || p.Bad == "" || p.Good == "" || p.Code.Area() == "" || p.Code.Area() == "handler" {
			t.Errorf("incomplete: %+v", p)
		}
		if i > 0 && lint.Pages()[i-1].Code >= p.Code {
			t.Errorf("%s is out of order", p.Code)
		}
		if known, ok := lint.PageOf(p.Code); !ok || known.Title != p.Title || p.Code.Warning() != p.Warning {
			t.Errorf("PageOf(%s) = %+v, %v", p.Code, known, ok)
		}
	}
	for _, c := range []lint.Code{"", "EM99", "EM999", "em304"} {
		if _, ok := lint.PageOf(c); ok || c.Warning() {
			t.Errorf("%q has a page", c)
		}
	}
}

func TestEveryCodeIsReportedForItsBadExampleAndNotForTheGoodOne(t *testing.T) {
	for _, p := range lint.Pages() {
		t.Run(string(p.Code), func(t *testing.T) {
			examples := special[p.Code]
			if examples == nil {
				examples = func(t *testing.T, good bool) config.Problems {
					if good {
						return problemsOf(t, p.Good)
					}
					return problemsOf(t, p.Bad)
				}
			}
			t.Run("bad", func(t *testing.T) {
				problems := examples(t, false)
				i := slices.IndexFunc(problems, func(found config.Problem) bool { return found.Code == p.Code })
				if i < 0 {
					t.Fatalf("%s is not among %v", p.Code, problems)
				}
				if problems[i].Warning != p.Warning {
					t.Errorf("warning: %v, and its page says %v: %s", problems[i].Warning, p.Warning, problems[i])
				}
			})
			t.Run("good", func(t *testing.T) {
				for _, found := range examples(t, true) {
					t.Error(found.Text())
				}
			})
		})
	}
}
