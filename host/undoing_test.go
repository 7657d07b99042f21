package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
)

// twoFiles is a host with two policy files, whose edits are observed for a minute.
const twoFiles = `
services: [{name: Arith, handler: test.arith}]
policies:
  files: [a.yaml, "more/*.yaml"]
  allowEmpty: true
  watch: {debounce: 20ms, poll: 1h}
  autoRollback: {window: %s}
`

// described tells results, by revision, and which rules are in force.
func described(t *testing.T, h *hosttest.Host) (results map[int]string, rules []string) {
	t.Helper()
	list, err := h.Admin.Revisions(t.Context())
	must(t, err)
	results = make(map[int]string)
	for _, r := range list {
		results[r.Number] = r.Result + " " + r.Verdict
	}
	states, err := h.Admin.Rules(t.Context())
	must(t, err)
	for _, r := range states {
		rules = append(rules, r.Name+" "+r.Kinds[0].Setting)
	}
	slices.Sort(rules)
	return results, rules
}

// Edits in the window of another are undone with it. The one with the evidence is named, and the others with how they come back.
func TestEditsInOneWindowAreUndoneTogether(t *testing.T) {
	t.Parallel()
	const (
		bad   = "{name: bad, match: {service: Arith}, rateLimit: {rate: 1, burst: 1}}"
		worse = "{name: worse, match: {service: Arith}, rateLimit: {rate: 1, per: 1h, burst: 1}}"
		fine  = "{name: fine, match: {service: Arith}, rateLimit: {rate: 10000, burst: 10000}}"
		other = "{name: other, match: {service: Arith}, timeout: 1m}"
	)
	write := func(path string, rules ...string) func(t *testing.T, h *hosttest.Host) {
		return func(_ *testing.T, h *hosttest.Host) { h.Write(path, ruleFile(rules...)) }
	}
	applies := func(path string, rules ...string) func(t *testing.T, h *hosttest.Host) {
		return func(t *testing.T, h *hosttest.Host) {
			apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{{Path: path, Text: ruleFile(rules...)}}})
		}
	}
	remove := func(t *testing.T, h *hosttest.Host) {
		t.Helper()
		must(t, os.Remove(filepath.Join(h.Dir, "more", "x.yaml")))
	}
	for _, tt := range []struct {
		name          string
		first, second func(*testing.T, *hosttest.Host)
		guilty        int
		back          string
	}{
		{"bad, then good", write("a.yaml", bad, other), write("more/y.yaml", fine), 2, "mend r2 in the files"},
		{"good, then bad", write("more/y.yaml", fine), write("a.yaml", bad, other), 3, "mend r3 in the files"},
		{"both in one file", write("a.yaml", bad, other), write("a.yaml", bad, other, fine), 2, "mend r2 in the files"},
		{"both bad", write("a.yaml", bad, other), write("more/y.yaml", worse), 3, "mend r3 in the files"},
		{"the same rule", write("a.yaml", bad, other), write("a.yaml", strings.Replace(bad, "rate: 1,", "rate: 2,", 1), other), 3, "mend r3 in the files"},
		{"bad, then a file less", write("a.yaml", bad, other), remove, 2, "mend r2 in the files"},
		{"bad, then good by command", write("a.yaml", bad, other), applies("y.yaml", fine), 2, "easymicro history show REVISION --files"},
		{"by command, then good", applies("a.yaml", bad, other), applies("y.yaml", fine), 2, "easymicro history show REVISION --files"},
		{"bad, then an override", write("a.yaml", bad, other), func(t *testing.T, h *hosttest.Host) {
			put(t, h, admin.OverrideRequest{Action: admin.ActionOverride, Rule: "other", Field: "timeout", Value: "2m"})
		}, 2, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := edited(t, fmt.Sprintf(twoFiles, "1m"), map[string]string{
				"a.yaml": ruleFile(other), "more/x.yaml": ruleFile("{name: x, match: {service: Arith}, concurrency: {max: 1000}}"),
			})
			_, before := described(t, h)
			for i, edit := range []func(*testing.T, *hosttest.Host){tt.first, tt.second} {
				edit(t, h)
				awaitThat(t, "the edit", func() bool { return status(t, h).Policies.Running.Revision == i+2 })
			}
			f := startFlow(t, h, 1, "Mul")
			defer f.end()
			r := h.Revision()
			for r.Source != host.SourceAutoRollback {
				r = h.Revision()
			}
			results, after := described(t, h)
			another := 5 - tt.guilty
			with := fmt.Sprintf(". Undone with r%d: r%d; ", tt.guilty, another)
			if !strings.HasPrefix(r.Why, fmt.Sprintf("r%d rolled back: ", tt.guilty)) || strings.Contains(r.Why, with+tt.back) != (tt.back != "") {
				t.Errorf("%s", r.Why)
			}
			if !strings.HasPrefix(results[tt.guilty], "rolledBack ") || strings.Contains(results[tt.guilty], "undone with") {
				t.Errorf("r%d is %s", tt.guilty, results[tt.guilty])
			}
			if tt.back == "" {
				if results[another] != "applied " || !slices.ContainsFunc(after, func(r string) bool { return strings.Contains(r, "other 2m") }) {
					t.Errorf("the override is %s: %q", results[another], after)
				}
				return
			}
			if !strings.HasPrefix(results[another], fmt.Sprintf("rolledBack undone with r%d: ", tt.guilty)) {
				t.Errorf("r%d is %s", another, results[another])
			}
			if !slices.Equal(before, after) || !strings.Contains(status(t, h).Policies.Held, "rolled back: ") && strings.Contains(tt.back, "mend") {
				t.Errorf("%q in force, %q before", after, before)
			}
		})
	}
}

// Once an override ends, what it has covered is undone if it is bad. Edits that were kept meanwhile stay.
func TestEditsThatWereKeptStayWhenACoveredOneIsUndone(t *testing.T) {
	t.Parallel()
	const (
		mul   = "{name: arith-mul, match: {service: Arith}, rateLimit: {rate: %d, burst: %[1]d}}"
		spare = "{name: spare, match: {service: Arith}, concurrency: {max: %d}}"
	)
	file := func(rate, most int) string { return ruleFile(fmt.Sprintf(mul, rate), fmt.Sprintf(spare, most)) }
	for _, tt := range []struct {
		name        string
		before      string // a.yaml
		first       string
		second      map[string]string // text by path; empty: the file goes
		want        []string          // in force, as they begin
		r3, r4, why string
	}{
		{
			"another rule of the file", file(10000, 1000), file(1, 1000),
			map[string]string{"a.yaml": file(1, 2000)},
			[]string{"arith-mul 10000 ", "spare max 2000", "x "},
			"rolledBack ", "applied ", "",
		},
		{
			"another file", file(10000, 1000), file(1, 1000),
			map[string]string{"more/y.yaml": ruleFile("{name: y, match: {service: Arith}, timeout: 1m}")},
			[]string{"arith-mul 10000 ", "spare max 1000", "x ", "y "},
			"rolledBack ", "applied ", "",
		},
		{"a file goes", file(10000, 1000), file(1, 1000), map[string]string{"more/x.yaml": ""}, []string{"arith-mul 10000 ", "spare max 1000"}, "rolledBack ", "applied ", ""},
		{
			"the same rule", file(10000, 1000), file(1, 1000),
			map[string]string{"a.yaml": file(2, 1000)},
			[]string{"arith-mul 10000 ", "spare max 1000", "x "},
			"rolledBack undone with r4: ", "rolledBack ", ". Undone with r4: r3; mend r4 in the files",
		},
		{
			"a part of the edit", file(10000, 1000), file(1, 2000),
			map[string]string{"more/x.yaml": ""},
			[]string{"arith-mul 10000 ", "spare max 2000"},
			"applied arith-mul refused ", "applied ", "",
		},
		{
			"rules on one line", "rules: [" + fmt.Sprintf(mul, 10000) + ", " + fmt.Sprintf(spare, 1000) + "]\n", "rules: [" + fmt.Sprintf(mul, 1) + ", " + fmt.Sprintf(spare, 1000) + "]\n",
			map[string]string{"more/y.yaml": ruleFile("{name: y, match: {service: Arith}, timeout: 1m}")},
			[]string{"arith-mul 10000 ", "spare max 1000", "x "},
			"rolledBack ", "rolledBack undone with r3: ", ". Undone with r3: r4; mend r3 in the files",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := edited(t, fmt.Sprintf(twoFiles, "2s, minRequests: 50"), map[string]string{
				"a.yaml": tt.before, "more/x.yaml": ruleFile("{name: x, match: {service: Arith}, concurrency: {max: 1000}}"),
			})
			put(t, h, admin.OverrideRequest{Action: admin.ActionOverride, Rule: "arith-mul", Field: "rateLimit", Value: "{rate: 5000, burst: 5000}", For: admin.Seconds(time.Hour)})
			f := startFlow(t, h, 1, "Mul")
			defer f.end()
			h.Write("a.yaml", tt.first)
			awaitThat(t, "the first edit", func() bool { p := status(t, h).Policies; return p.Running.Revision == 3 && p.Observed == nil })
			for path, text := range tt.second {
				if text == "" {
					must(t, os.Remove(filepath.Join(h.Dir, path)))
				} else {
					h.Write(path, text)
				}
			}
			awaitThat(t, "the second edit to be kept", func() bool { p := status(t, h).Policies; return p.Running.Revision == 4 && p.Observed == nil })
			dropOverride(t, h, "arith-mul.rateLimit")
			r := h.Revision()
			for r.Source != host.SourceAutoRollback {
				r = h.Revision()
			}
			results, rules := described(t, h)
			if !slices.EqualFunc(rules, tt.want, strings.HasPrefix) {
				t.Errorf("%q in force, want %q", rules, tt.want)
			}
			if !strings.HasPrefix(results[3], tt.r3) || !strings.HasPrefix(results[4], tt.r4) || !strings.HasPrefix(results[5], "applied") {
				t.Errorf("%v", results)
			}
			if !strings.Contains(r.Why, tt.why) || tt.why == "" && strings.Contains(r.Why, "Undone with") || !strings.Contains(r.Why, " rolled back: arith-mul refused ") {
				t.Errorf("%s", r.Why)
			}
			if p := status(t, h).Policies; p.InSync || !strings.Contains(p.Held, "rolled back: ") {
				t.Errorf("%+v", p)
			}
		})
	}
}
