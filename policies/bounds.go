package policies

import (
	"fmt"
	"slices"

	"github.com/easymicro/easymicro/config"
)

// mostMet is how many rules one call can meet: each of them may be asked. Rules for different callers do not add up.
const mostMet = 100

// tooMany names the first few methods whose calls can meet more rules, each at the first rule that is one too many.
func (s *Snapshot) tooMany(targets []Target, matching [][]candidate) (problems config.Problems) {
	const most = 5
	for i, t := range targets {
		if len(matching[i]) <= mostMet || len(problems) == most {
			continue
		}
		rules := make(map[*rule]bool, len(matching[i]))
		for _, c := range matching[i] {
			rules[c.rule] = true
		}
		if p, ok := s.met(func(r *rule) bool { return rules[r] }, "to "+t.String()); ok {
			problems = append(problems, p)
		}
	}
	return problems
}

// tooManyCalled names the upstreams of which all calls can meet more rules.
func (s *Snapshot) tooManyCalled() (problems config.Problems) {
	for _, name := range s.upstreamNames {
		p, ok := s.met(func(r *rule) bool {
			return r.clientSide() && len(r.services)+len(r.methods) == 0 && matchesAny(r.upstreams, name)
		}, "to upstream "+name)
		if ok {
			problems = append(problems, p)
		}
	}
	return problems
}

// met is the problem of those rules, if there are too many for one call.
func (s *Snapshot) met(of func(*rule) bool, which string) (p config.Problem, tooMany bool) {
	var rules, anybody []*rule // anybody: those for callers that no rule names
	named := make(map[string]int)
	for _, r := range s.rules {
		if r.off || !of(r) {
			continue
		}
		rules = append(rules, r)
		if len(r.callers.globs) > 0 || r.callers.empty() {
			anybody = append(anybody, r)
			continue
		}
		for caller := range r.callers.exact {
			named[caller]++
		}
	}
	if len(anybody) > mostMet {
		return tooManyAt(anybody, "calls "+which), true
	}
	var crowded []string
	for caller, n := range named {
		if n+len(anybody) > mostMet {
			crowded = append(crowded, caller)
		}
	}
	slices.Sort(crowded)
	for _, caller := range crowded {
		meets := slices.DeleteFunc(slices.Clone(rules), func(r *rule) bool { return !r.callers.empty() && !r.callers.match(caller) })
		if len(meets) > mostMet {
			return tooManyAt(meets, "calls of "+caller+" "+which), true
		}
	}
	return p, false
}

func tooManyAt(rules []*rule, which string) config.Problem {
	first := rules[mostMet]
	p := first.warning("match", fmt.Sprintf("%d rules hold for %s: at most %d may; match several callers with one rule, by a glob or a list",
		len(rules), which, mostMet))
	p.Warning = false
	if first.config.Path() == "" { // it is not out of a file
		p.Path = "rules[" + first.name + "].match"
	}
	return p
}
