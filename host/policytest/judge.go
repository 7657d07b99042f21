package policytest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/code"
)

// Tally counts outcomes of calls.
type Tally struct {
	Codes   map[string]int `json:"codes"`
	Refused map[string]int `json:"refused"` // by rule
	Shadow  map[string]int `json:"shadow"`  // refusals by rule that were not enforced
}

func newTally() Tally {
	return Tally{Codes: map[string]int{}, Refused: map[string]int{}, Shadow: map[string]int{}}
}

func (t *Tally) count(results []result) {
	for i := range results {
		r := &results[i]
		t.Codes[r.code.String()]++
		if r.rule != "" {
			t.Refused[r.rule]++
		}
		for _, rule := range r.shadow {
			t.Shadow[rule]++
		}
	}
}

// String returns the counts: 15 OK, 5 RESOURCE_EXHAUSTED; refused: 5 by partner-quota.
func (t *Tally) String() string {
	var parts []string
	for _, c := range code.All() {
		if n := t.Codes[c.String()]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, c))
		}
	}
	return strings.Join(parts, ", ") + byRule("; refused: ", t.Refused) + byRule("; in shadow: ", t.Shadow)
}

// byRule returns "5 by partner-quota, 2 by arith-mul" after a title, or "".
func byRule(title string, counts map[string]int) string {
	var parts []string
	for _, rule := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d by %s", counts[rule], rule))
	}
	if parts == nil {
		return ""
	}
	return title + strings.Join(parts, ", ")
}

// judge compares what a case expects with what was seen.
type judge struct {
	test     *config.PolicyTest
	path     string // of the case
	failures config.Problems
}

// fail adds a failed expectation. seen may be nil.
func (j *judge) fail(path string, seen *Tally, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if seen != nil {
		message += " (seen: " + seen.String() + ")"
	}
	j.failures = append(j.failures, j.test.Position(path).Problem(path, message))
}

func (j *judge) scene(c *config.TestCase, number int, before, after *scene) {
	for i, st := range after.steps {
		if st.Expect != nil {
			seen := newTally()
			seen.count(st.results)
			j.outcome(j.test.StepPath(number, i)+".expect", st.Expect, &seen)
		}
	}
	seen := after.tally()
	j.outcome(j.path+".expect", &c.Expect.TestOutcome, &seen)
	if before != nil {
		j.nobodyNew(before, after)
	}
}

func (j *judge) outcome(path string, want *config.TestOutcome, seen *Tally) {
	codes := want.Codes()
	for _, c := range code.All() {
		n, listed := codes[c.String()]
		switch got := seen.Codes[c.String()]; {
		case listed && n != got:
			j.fail(path+"."+c.String(), seen, "want %d, got %d", n, got)
		case !listed && codes != nil && got > 0:
			j.fail(path, seen, "%s with %s, which is not expected", ends(got), c)
		}
	}
	if len(want.By) > 0 {
		for _, rule := range want.By {
			if seen.Refused[rule] == 0 {
				j.fail(path+".by", seen, "%s refuses no call", rule)
			}
		}
		for _, rule := range slices.Sorted(maps.Keys(seen.Refused)) {
			if !slices.Contains(want.By, rule) {
				j.fail(path+".by", seen, "%s refuses %s too", rule, calls(seen.Refused[rule]))
			}
		}
	}
	j.counts(path+".refused", want.Refused, seen.Refused, seen)
	j.counts(path+".shadow", want.Shadow, seen.Shadow, seen)
}

func (j *judge) counts(path string, want, got map[string]int, seen *Tally) {
	for _, rule := range slices.Sorted(maps.Keys(want)) {
		if want[rule] != got[rule] {
			j.fail(path+"."+rule, seen, "want %d, got %d", want[rule], got[rule])
		}
	}
}

// nobodyNew compares the result of each call with that under the older rules.
func (j *judge) nobodyNew(before, after *scene) {
	refused, total := map[string]int{}, 0
	for i, st := range after.steps {
		old := before.steps[i]
		for n := range st.results {
			if old.absent || old.results[n].rule != "" {
				continue
			}
			total++
			if rule := st.results[n].rule; rule != "" {
				refused[rule]++
			}
		}
	}
	if len(refused) > 0 {
		j.fail(j.path+".expect.nobody_new", nil, "of %s that the older set lets through, the new one refuses %s",
			calls(total), byRule("", refused))
	}
}

func calls(n int) string {
	if n == 1 {
		return "1 call"
	}
	return fmt.Sprintf("%d calls", n)
}

func ends(n int) string {
	if n == 1 {
		return "1 call ends"
	}
	return calls(n) + " end"
}
