package config_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
)

// hostile returns files made to cost time or memory.
func hostile() map[string]string {
	const size = 40 << 10
	fill := func(before, unit, after string) string {
		return before + strings.Repeat(unit, (size-len(before)-len(after))/len(unit)) + after
	}
	var bomb strings.Builder
	bomb.WriteString("services:\n  - name: a\n    handler: b\n    options:\n      a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := range 300 {
		fmt.Fprintf(&bomb, "      a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i+1, i+1, i, i, i, i, i, i, i, i, i)
	}
	var bombs strings.Builder
	bombs.WriteString("host: &h {labels: &l {" + strings.Repeat("a: b, ", 100) + "c: d}}\nservices:\n")
	for i := range 600 {
		fmt.Fprintf(&bombs, "  - {name: s%d, handler: b, options: {o: [*l, *l, *l]}}\n", i)
	}
	return map[string]string{
		"alias bomb": bomb.String(), "alias bombs in many services": bombs.String(),
		"nested lists": fill("rules: ", "[", ""), "nested mappings": fill("", "{a: ", ""), "nested entries": fill("", "- ", ""),
		"nested question marks": fill("", "? ", ""), "empty lists": fill("rules: [", "[],", "]"), "commas": fill("rules: [", "a,", "]"),
		"lines of commas": fill("rules: [", strings.Repeat("a,", 500)+"\n", "]"), "empty entries": fill("rules:\n", " -\n", ""),
		"duplicate keys": fill("", "a:\n", ""), "unknown keys": fill("rules: [{", "\nzzzz: 1,", "}]"), "anchors": fill("", "- &a b\n", ""),
		"tags": fill("", "- !a b\n", ""), "comments": fill("", "- #x\n", ""), "documents": fill("", "---\n", ""), "blanks": fill("a:", " ", ""),
		"newlines": fill("a:", "\n", ""), "long word": fill("a: ", "x", ""), "long key": fill("", "x", ": 1"), "quotes": fill("a: ", "''", ""),
		"variables": fill("host: {name: \"", "${A:-b}", "\"}"), "variables without end": fill("host: {name: \"", "${", "\"}"),
		"escapes": fill("a: \"", "\\n", "\""), "carriage returns": fill("a: 1", "\r", ""), "percent": fill("", "%TAG ! x\n", ""),
		"problems": fill("rules:\n", "- {name: a, timeout: 5}\n", ""), "numbers": fill("rules: [{name: a, timeout: ", "9", "}]"),
		"aliases in themselves": fill("services:\n", "- &a {name: *a}\n", ""), "services": fill("services:\n", "- {name: a, handler: b}\n", ""),
		"one list": fill("[", "[],", "]"), "one mapping": fill("{", "a: b, ", "}"), "dashes in a mapping": fill("rules: [{", "\n-a: 1,", "}]"),
		"quotes in a list": fill("rules: [[", "'a', ", "]]"), "brackets in quotes": fill("rules: [['[", "['a,", "']]"),
		"quotes that are none": fill("rules: [[a 'x", ",[]", "]]"),
		"globs":                fill("rules: [{name: a, timeout: 1s, match: {service: \"", "*a", "\"}}]"), "long unknown word": fill("rules: [{", "m", ": 1}]"),
	}
}

// cost runs f until one run takes at most limit, but at most five times, and returns the shortest time and the bytes
// allocated by the last run. Bytes allocated bound the bytes in use.
func cost(t *testing.T, limit time.Duration, f func()) (took time.Duration, allocated uint64) {
	t.Helper()
	if raceEnabled {
		t.Skip("measures one goroutine")
	}
	took = time.Hour
	for tries := 0; took > limit && tries < 5; tries++ {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		f()
		took = min(took, time.Since(start))
		runtime.ReadMemStats(&after)
		allocated = after.TotalAlloc - before.TotalAlloc
	}
	t.Logf("%s, %d KiB", took, allocated>>10)
	return took, allocated
}

// Promise R17: 40 KB of hostile YAML take at most 50 ms and 16 MiB. The time depends on the machine and its load, so
// that it is logged, and the test fails only if it is a matter of seconds, as with quadratic growth.
func TestHostileFilesCostLittle(t *testing.T) {
	for name, text := range hostile() {
		t.Run(name, func(t *testing.T) {
			const limit, most = 2 * time.Second, 32 << 20 // twice the promise, for two decodings
			took, allocated := cost(t, limit, func() {
				m, problems := config.DecodeManifest("m.yaml", []byte(text), testEnv)
				rules, more := config.DecodeRules("p.yaml", []byte(text), testEnv)
				problems = problems.With((&config.Set{Manifest: m, Rules: rules}).Validate())
				if len(problems) == 0 || len(more) == 0 {
					t.Fatal("the file has no problem")
				}
			})
			if took > limit || allocated > most {
				t.Errorf("took %s and %d MiB, want at most %s and %d MiB", took, allocated>>20, limit, most>>20)
			}
		})
	}
}

// Quadratic growth over a set of thousands takes many seconds, or gigabytes.
func TestLargeSetsAreCheckedInTime(t *testing.T) {
	const many = 19_999
	m, problems := config.DecodeManifest("m.yaml", []byte("services: [{name: a, handler: b}]\nauth: {identify: [token], tokens: {file: t.yaml}}"), nil)
	if problems.Err() != nil {
		t.Fatal(problems)
	}
	patience := config.Duration(time.Second)
	breaker := &config.CircuitBreaker{FailureRate: 0.5, Window: 10 * patience, MinRequests: 20, FailOn: []string{"DEADLINE_EXCEEDED"}}
	var names, callers config.Patterns
	var each []config.Rule
	var tokens []config.Token
	for i := range many {
		names = append(names, fmt.Sprintf("s%d", i))
		callers = append(callers, fmt.Sprintf("*x%d", i))
		each = append(each, config.Rule{Name: fmt.Sprintf("r%d", i), Match: config.Match{Service: config.Patterns{names[i]}}, Timeout: &patience})
		tokens = append(tokens, config.Token{Caller: fmt.Sprintf("c%d", i), SHA256: fmt.Sprintf("%064x", i)})
	}
	long := config.Rule{Name: "long", Match: config.Match{Service: names}, CircuitBreaker: breaker}
	for name, rules := range map[string][]config.Rule{
		"a list of services beside a timeout for each": append(each, long),
		"two lists of services":                        {{Name: "times", Match: config.Match{Service: names}, Timeout: &patience}, long},
		"callers that end alike":                       {{Name: "callers", Match: config.Match{Service: names[:1], Caller: callers}, Timeout: &patience}},
	} {
		t.Run(name, func(t *testing.T) {
			const limit, most = 3 * time.Second, 256 << 20
			took, allocated := cost(t, limit, func() { (&config.Set{Manifest: m, Rules: rules, Tokens: tokens}).Validate() })
			if took > limit || allocated > most {
				t.Errorf("took %s and %d MiB, want at most %s and %d MiB", took, allocated>>20, limit, most>>20)
			}
		})
	}
}

func TestJSONIsNotHostile(t *testing.T) {
	const rule = `{"name": "r%d", "description": "[[ \"{ it's", "match": {"service": ["Arith"], "method": "Mul"}, "rateLimit": {"rate": 5}, "timeout": "1s"}`
	var one strings.Builder
	const many = 500 // 7000 brackets and commas: three times what one entry may have
	for i := range many {
		fmt.Fprintf(&one, rule+",", i)
	}
	text := `{"rules": [` + strings.TrimSuffix(one.String(), ",") + `]}`
	pretty := strings.NewReplacer("{\"", "{\n  \"", "},", "\n},\n", "[{", "[\n{").Replace(text)
	block := "rules:\n  # don't [\n" + strings.TrimSuffix(strings.TrimPrefix(strings.ReplaceAll(text, `},{"name"`, "}\n  - {\"name\""), `{"rules": [`), "]}")
	block = strings.Replace(block, `{"name"`, `  - {"name"`, 1)
	for name, text := range map[string]string{"on one line": text, "on many lines": pretty, "as a list": block} {
		if rules, problems := config.DecodeRules("p.yaml", []byte(text), nil); len(problems) > 0 || len(rules) != many {
			t.Errorf("%s: %d rules, problems %v", name, len(rules), problems)
		}
	}
	_, problems := config.DecodeRules("p.yaml", []byte(`{"rules": [{"nam": "a"}]}`), nil)
	if got := problems[0].String(); !strings.HasPrefix(got, "p.yaml:1:12: rules[0].match: is required") {
		t.Errorf("the place on the first line is wrong: %s", got)
	}
	if _, problems = config.DecodeRules("p.yaml", []byte("{\"rules\": ]"), nil); problems[0].Column != 11 {
		t.Errorf("the place of a syntax error on the first line is wrong: %s", problems[0])
	}
}

func TestTheLargestFileIsDecoded(t *testing.T) {
	if testing.Short() {
		t.Skip("decodes 9,000 rules in one goroutine")
	}
	line := "  - {name: rule-%d, match: {service: Arith, method: [Mul, Div]}, rateLimit: {rate: 5, burst: 10}, timeout: 1s}\n"
	var text strings.Builder
	text.WriteString("rules:\n")
	for i := 0; text.Len() < config.MaxFileBytes-len(line)-8; i++ {
		fmt.Fprintf(&text, line, i)
	}
	rules, problems := config.DecodeRules("p.yaml", []byte(text.String()), nil)
	if len(problems) > 0 || len(rules) < 9000 {
		t.Fatalf("%d rules, problems %v", len(rules), problems)
	}
	if _, problems := config.DecodeRules("p.yaml", make([]byte, config.MaxFileBytes+1), nil); len(problems) != 1 || !strings.Contains(problems[0].Message, "limit is 1 MiB") {
		t.Errorf("a larger file: %v", problems)
	}
}
