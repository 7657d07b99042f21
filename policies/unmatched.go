package policies

import (
	"maps"
	"slices"

	"github.com/easymicro/easymicro/config"
)

// Unmatched are warnings about rules that match no target, or no upstream, with what was probably meant.
func (s *Snapshot) Unmatched() config.Problems {
	if s == nil {
		return nil
	}
	known := make(map[string][]string) // methods by service
	for t := range s.guards {
		known[t.Service] = append(known[t.Service], t.Method)
	}
	var problems config.Problems
	for _, r := range s.rules {
		switch {
		case r.clientSide():
			if p, idle := s.noUpstream(r); idle {
				problems = append(problems, p)
			}
		case len(r.targets) == 0 && !s.mayBeRemote(r):
			if s.leftOut(r) {
				problems = append(problems, r.warning("match.except", "leaves out every method of this host that the rule matches: rule "+r.name+" does nothing here"))
				continue
			}
			p, isAlias := r.namesAlias(s.aliases)
			if !isAlias {
				suggest := len(problems) < mostSuggestions
				p = r.unmatched(known, suggest)
				for i := 0; suggest && i < len(r.services) && p.Suggestion == ""; i++ {
					p.Suggestion = config.Suggest(r.services[i].text, s.allowedNames())
				}
			}
			problems = append(problems, p)
		}
	}
	return problems
}

// leftOut reports whether the rule would match a method of this host but for its exceptions.
func (s *Snapshot) leftOut(r *rule) bool {
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
func (s *Snapshot) noUpstream(r *rule) (p config.Problem, idle bool) {
	names, globs := s.upstreamNames, s.allowed
	switch {
	case names != nil:
		globs = compileGlobs(names)
	case globs == nil:
		return p, false
	default:
		names = s.allowedNames()
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
func (s *Snapshot) mayBeRemote(r *rule) bool {
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
func (s *Snapshot) allowedNames() []string {
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
func (r *rule) namesAlias(aliases map[string]string) (p config.Problem, ok bool) {
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

func (r *rule) warning(field, message string) config.Problem {
	at := r.config.Position(field)
	return config.Problem{
		File: at.File, Line: at.Line, Column: at.Column, Path: r.config.Path() + "." + field, Warning: true, Message: message,
	}
}

func (r *rule) unmatched(known map[string][]string, suggest bool) config.Problem {
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
