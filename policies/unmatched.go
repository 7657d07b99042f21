package policies

import (
	"maps"
	"slices"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/lint"
)

// neighbours are the names that rules may be about besides the methods of this host.
type neighbours struct {
	aliases   map[string]string         // to the name of the service
	upstreams []string                  // nil: any
	remote    func(service string) bool // nil: none
	allowed   []glob                    // services behind a gateway; nil: any
}

// unmatched returns warnings about rules that match no target and no neighbour.
func (n *neighbours) unmatched(rules []*rule, targets []Target) (problems config.Problems) {
	known := make(map[string][]string) // methods by service
	for _, t := range targets {
		known[t.Service] = append(known[t.Service], t.Method)
	}
	for _, r := range rules {
		switch {
		case r.clientSide():
			if p, idle := n.noUpstream(r); idle {
				problems = append(problems, p)
			}
		case n.idle(r):
			if excepted(r, known) {
				problems = append(problems, problemIn(lint.ExcludesAll, r.config, "match.except",
					"excludes every method of this host that the rule matches: rule "+r.name+" has no effect here"))
				continue
			}
			p, isAlias := n.alias(r)
			if !isAlias {
				suggest := len(problems) < maxSuggestions
				p = unmatchedBy(r, known, suggest)
				if suggest && p.Suggestion == "" {
					p.Suggestion = config.SuggestFor(r.config.Match.Service, n.allowedNames())
				}
			}
			problems = append(problems, p)
		}
	}
	return problems
}

// idle reports whether a rule matches no target and no neighbour.
func (n *neighbours) idle(r *rule) bool {
	if r.clientSide() {
		return n.callsNone(r)
	}
	return len(r.targets) == 0 && !n.mayBeRemote(r)
}

// callsNone reports whether a rule matches no upstream.
func (n *neighbours) callsNone(r *rule) bool {
	globs := n.allowed
	if n.upstreams != nil {
		globs = compileGlobs(n.upstreams)
	}
	return globs != nil && !overlapAny(r.upstreams, globs)
}

// maxSuggestions bounds the time for a large set that is shared by many hosts.
const maxSuggestions = 100

// excepted reports whether the rule would match a known method but for its exceptions.
func excepted(r *rule, known map[string][]string) bool {
	if len(r.except) == 0 {
		return false
	}
	for service, methods := range known {
		for _, method := range methods {
			if _, ok := r.names(Target{Service: service, Method: method}, ""); ok {
				return true
			}
		}
	}
	return false
}

// noUpstream returns the warning about a rule that matches no upstream.
func (n *neighbours) noUpstream(r *rule) (p config.Problem, idle bool) {
	if !n.callsNone(r) {
		return p, false
	}
	names := n.upstreams
	if names == nil {
		names = n.allowedNames()
	}
	p = problemIn(lint.MatchesNothing, r.config, "match.upstream",
		"no upstream of this host matches "+shortList(r.config.Match.Upstream)+": rule "+r.name+" has no effect here")
	p.Suggestion = config.SuggestFor(r.config.Match.Upstream, names)
	return p, true
}

// mayBeRemote reports whether a rule may be about a service that is reached through this host. A glob may, unless it
// overlaps with no service that is allowed.
func (n *neighbours) mayBeRemote(r *rule) bool {
	if n.remote == nil {
		return false
	}
	return len(r.services) == 0 || slices.ContainsFunc(r.services, func(g glob) bool {
		if g.exact {
			return n.remote(g.text)
		}
		return n.allowed == nil || overlapAny([]glob{g}, n.allowed)
	})
}

// allowedNames returns the allowed services that are not globs.
func (n *neighbours) allowedNames() (names []string) {
	for i := range n.allowed {
		if n.allowed[i].exact {
			names = append(names, n.allowed[i].text)
		}
	}
	return names
}

// alias returns the warning about a rule that names an alias of a service.
func (n *neighbours) alias(r *rule) (p config.Problem, ok bool) {
	best := ""
	for alias := range n.aliases {
		if matchesAny(r.services, alias) && (best == "" || alias < best) {
			best = alias
		}
	}
	if best == "" {
		return p, false
	}
	name := n.aliases[best]
	return problemIn(lint.MatchesNothing, r.config, "match.service", best+" is an alias of "+name+": rules match the name of the service, write "+name), true
}

// overlapAny reports whether there is a text that both lists match.
func overlapAny(a, b []glob) bool {
	for i := range a {
		if slices.ContainsFunc(b, func(g glob) bool { return a[i].overlap(&g) }) {
			return true
		}
	}
	return false
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
			what = "method of service " + shortList(r.config.Match.Service)
		}
	}
	if len(patterns) == 0 {
		field, what, patterns = "match", "method of this host", []string{"*"}
	}
	p := problemIn(lint.MatchesNothing, r.config, field, "no "+what+" matches "+shortList(patterns)+": rule "+r.name+" has no effect here")
	if suggest {
		p.Suggestion = config.SuggestFor(patterns, words)
	}
	return p
}
