package policies

import (
	"fmt"
	"maps"
	"slices"

	"github.com/easymicro/easymicro/config"
)

// leftOut reports whether the rule would match a method of this host but for its exceptions.
func leftOut(s *Snapshot, r *rule) bool {
	if len(r.except) == 0 {
		return false
	}
	for t := range s.guards {
		if _, ok := r.names(t, ""); ok {
			return true
		}
	}
	return false
}

// noUpstream is the warning about a rule for upstreams that are none.
func noUpstream(s *Snapshot, r *rule) (p config.Problem, idle bool) {
	names, globs := s.upstreamNames, s.allowed
	switch {
	case names != nil:
		globs = compileGlobs(names)
	case globs == nil:
		return p, false
	default:
		names = allowedNames(s)
	}
	if overlapAny(r.upstreams, globs) {
		return p, false
	}
	p = r.warning("match.upstream", "no upstream of this host matches "+listed(r.config.Match.Upstream)+": rule "+r.name+" does nothing here")
	for _, pattern := range r.config.Match.Upstream {
		if p.Suggestion == "" {
			p.Suggestion = config.Suggest(pattern, names)
		}
	}
	return p, true
}

// mayBeRemote tells whether a rule may be about a service that is reached through this host. What a glob may come to
// match nobody knows, unless no service that is allowed can match it.
func mayBeRemote(s *Snapshot, r *rule) bool {
	if s.remote == nil {
		return false
	}
	return len(r.services) == 0 || slices.ContainsFunc(r.services, func(g glob) bool {
		if g.exact {
			return s.remote(g.text)
		}
		return s.allowed == nil || overlapAny([]glob{g}, s.allowed)
	})
}

// allowedNames are the services behind a gateway that are known by their names.
func allowedNames(s *Snapshot) []string {
	var names []string
	for i := range s.allowed {
		if s.allowed[i].exact {
			names = append(names, s.allowed[i].text)
		}
	}
	return names
}

// overlapAny tells whether there is a text that both lists match.
func overlapAny(a, b []glob) bool {
	for i := range a {
		if slices.ContainsFunc(b, func(g glob) bool { return a[i].overlap(&g) }) {
			return true
		}
	}
	return false
}

// mostSuggestions bounds the time for a large set that is shared by many hosts.
const mostSuggestions = 100

// namesAlias is the warning about a rule that is written for another name of a service.
func namesAlias(r *rule, aliases map[string]string) (p config.Problem, ok bool) {
	best := ""
	for alias := range aliases {
		if matchesAny(r.services, alias) && (best == "" || alias < best) {
			best = alias
		}
	}
	if best == "" {
		return p, false
	}
	return r.warning("match.service", best+" is an alias of "+aliases[best]+": rules go by the main name, write "+aliases[best]), true
}

func unmatchedBy(r *rule, known map[string][]string, suggest bool) config.Problem {
	services := slices.Sorted(maps.Keys(known))
	var methods []string
	for _, service := range services {
		if len(r.services) == 0 || matchesAny(r.services, service) {
			methods = append(methods, known[service]...)
		}
	}
	field, what, patterns, words := "match.service", "service of this host", r.config.Match.Service, services
	if len(methods) > 0 && len(r.methods) > 0 {
		field, what, patterns, words = "match.method", "method of this host", r.config.Match.Method, methods
		if len(r.services) > 0 {
			what = "method of service " + listed(r.config.Match.Service)
		}
	}
	if len(patterns) == 0 {
		field, what, patterns = "match", "method of this host", []string{"*"}
	}
	p := r.warning(field, "no "+what+" matches "+listed(patterns)+": rule "+r.name+" does nothing here")
	for _, pattern := range patterns {
		if suggest && p.Suggestion == "" {
			p.Suggestion = config.Suggest(pattern, words)
		}
	}
	return p
}

// mostMet is how many rules one call can meet: each of them may be asked. Rules for different callers do not add up.
const mostMet = 100

// tooMany names the first few methods whose calls can meet more rules, each at the first rule that is one too many.
func tooMany(s *Snapshot, targets []Target, matching [][]candidate) (problems config.Problems) {
	const most = 5
	for i, t := range targets {
		if len(matching[i]) <= mostMet || len(problems) == most {
			continue
		}
		rules := make(map[*rule]bool, len(matching[i]))
		for _, c := range matching[i] {
			rules[c.rule] = true
		}
		if p, ok := met(s, func(r *rule) bool { return rules[r] }, "to "+t.String()); ok {
			problems = append(problems, p)
		}
	}
	return problems
}

// tooManyCalled names the upstreams of which all calls can meet more rules.
func tooManyCalled(s *Snapshot) (problems config.Problems) {
	for _, name := range s.upstreamNames {
		p, ok := met(s, func(r *rule) bool {
			return r.clientSide() && len(r.services)+len(r.methods) == 0 && matchesAny(r.upstreams, name)
		}, "to upstream "+name)
		if ok {
			problems = append(problems, p)
		}
	}
	return problems
}

// met is the problem of those rules, if there are too many for one call.
func met(s *Snapshot, of func(*rule) bool, which string) (p config.Problem, tooMany bool) {
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
