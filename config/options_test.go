package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/config"
)

type inner struct {
	Depth int `yaml:"depth" min:"1" max:"9"`
}

type options struct {
	Precision int
	MaxItems  uint8
	Ratio     float64 `json:"ratio"`
	Wait      time.Duration
	Names     []string
	Labels    map[string]string
	Inner     *inner
	Mode      string `yaml:"mode" enum:"fast,slow"`
	Any       any    `yaml:"any"`
	Hidden    string `yaml:"-"`
	private   int
}

func rawOptions(t *testing.T, text string) config.RawOptions {
	t.Helper()
	m, problems := config.DecodeManifest("m.yaml", []byte("services:\n  - name: A\n    handler: b\n    options:\n      "+strings.ReplaceAll(text, "\n", "\n      ")+"\n"), testEnv)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return m.Services[0].Options
}

func TestOptionsDecodeOverTheHandlersDefaults(t *testing.T) {
	got := options{Precision: 2, MaxItems: 7, Names: []string{"default"}, Mode: "slow", Inner: &inner{Depth: 3}, private: 1}
	raw := rawOptions(t, "precision: ${RATE}\nratio: 0.5\nwait: 2s\nnames: [a, b]\nlabels: {x: y}\ninner: {}\nany: {a: [1, 2.5, true, text]}")
	if problems := raw.Decode(&got); len(problems) > 0 {
		t.Fatal(problems)
	}
	want := options{
		Precision: 500, MaxItems: 7, Ratio: 0.5, Wait: 2 * time.Second, Names: []string{"a", "b"}, Labels: map[string]string{"x": "y"},
		Inner: &inner{Depth: 3}, Mode: "slow", Any: map[string]any{"a": []any{int64(1), 2.5, true, "text"}}, private: 1,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(options{})); diff != "" {
		t.Error(diff)
	}
	var none config.RawOptions
	if problems := none.Decode(&got); len(problems) > 0 || !none.IsZero() {
		t.Error(problems)
	}
}

func TestProblemsOfOptionsShowNoValue(t *testing.T) {
	raw := rawOptions(t, "precison: 4\nmaxItems: 300\nwait: canary\nmode: canary\nnames: [7]\ninner: {depth: 12}\nhidden: canary\nratio: \"canary\"")
	var o options
	problems := raw.Decode(&o)
	want := []string{
		"m.yaml:5:7: services[0].options.precison: unknown key (did you mean precision?)",
		"m.yaml:6:17: services[0].options.maxItems: must be an integer",
		"m.yaml:7:13: services[0].options.wait: must be a duration like 500ms",
		"m.yaml:8:13: services[0].options.mode: must be one of fast, slow",
		"m.yaml:9:15: services[0].options.names[0]: must be a string",
		"m.yaml:10:22: services[0].options.inner.depth: must be an integer from 1 to 9",
		"m.yaml:11:7: services[0].options.hidden: unknown key; known are any, inner, labels, maxItems, mode, names, precision, ratio, wait",
		"m.yaml:12:14: services[0].options.ratio: must be a number",
	}
	if diff := cmp.Diff(want, strings.Split(problems.Error(), "\n")); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(problems.Error(), "canary") {
		t.Error("a value is shown")
	}
}

func TestOptionsAreComparedByValue(t *testing.T) {
	a := rawOptions(t, "precision: 4\nnames: [a, b]")
	for text, want := range map[string]bool{
		"names:\n  - a\n  - \"b\"\nprecision: 4 # four": true, "names: [b, a]\nprecision: 4": false, "precision: 4": false, "names: [a, b]\nprecision: \"4\"": false,
	} {
		if got := a.Equal(rawOptions(t, text)); got != want {
			t.Errorf("%q: equal %v", text, got)
		}
	}
	if a.Equal(config.RawOptions{}) {
		t.Error("equal to none")
	}
}

func TestBoundsHoldForElementsAndPointers(t *testing.T) {
	var o struct {
		Ports  []int          `yaml:"ports" min:"1" max:"9"`
		Shares map[string]int `yaml:"shares" max:"9"`
		Wait   *time.Duration `yaml:"wait" min:"1s"`
	}
	problems := rawOptions(t, "ports: [1, 10]\nshares: {a: 10}\nwait: 5ms").Decode(&o)
	want := []string{
		"m.yaml:5:18: services[0].options.ports[1]: must be an integer from 1 to 9",
		"m.yaml:6:19: services[0].options.shares.a: must be an integer at most 9",
		"m.yaml:7:13: services[0].options.wait: must be at least 1s, not 5ms",
	}
	if diff := cmp.Diff(want, strings.Split(problems.Error(), "\n")); diff != "" {
		t.Error(diff)
	}
}

func TestDurationsInOptionsAreCheckedLikeThoseInRules(t *testing.T) {
	for text, want := range map[string]string{
		"takes: 5": "takes: 5 has no unit: 5ms or 5s?", "takes: 0": "", "takes: -1s": "", "free: -1s": "free: must not be negative, got -1s",
		"takes: 5 sec": "takes: must be a duration like 500ms or 1m30s, not \"5 sec\" (did you mean 5s?)",
		"bound: -1s":   "bound: must not be negative, got -1s", "bound: 5ms": "bound: must be at least 1s, not 5ms", "below: -2s": "below: must be at least -1s, not -2s", "below: -1s": "",
		"takes: canary": "takes: must be a duration like 500ms", "takes: 4canary": "takes: must be a duration like 500ms", "takes: 4711471147114711": "takes: must be a duration like 500ms",
	} {
		var o struct {
			Takes time.Duration  `yaml:"takes"`
			Bound *time.Duration `yaml:"bound" min:"1s"`
			Below time.Duration  `yaml:"below" min:"-1s"`
			Free  time.Duration  `yaml:"free" min:"0"`
		}
		problems := rawOptions(t, text).Decode(&o)
		got := strings.Join(strings.SplitAfterN(problems.Error(), "options.", 2)[len(problems):], "")
		if len(problems) > 1 || got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}
