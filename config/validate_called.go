package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/wire/wildcard"
)

// called are the upstreams of the manifest that a client-side rule is about.
func (c *checker) called(r *Rule) (list []*Upstream, places []string) {
	for i := range c.set.Manifest.Upstreams {
		u := &c.set.Manifest.Upstreams[i]
		if r.Match.Upstream.match(u.Name) && !r.Match.Except.ofUpstream(u.Name) {
			list, places = append(list, u), append(places, fmt.Sprintf("upstreams[%d]", i))
		}
	}
	return list, places
}

// ofUpstream reports whether all calls of an upstream are left out.
func (e Exceptions) ofUpstream(name string) bool {
	return slices.ContainsFunc(e, func(x Exception) bool {
		return x.Upstream.match(name) && len(x.Service)+len(x.Method)+len(x.Caller) == 0
	})
}

// match tells whether one of the globs matches the whole of text.
func (p Patterns) match(text string) bool {
	return wildcard.MatchAny(p, text)
}

// calledService finds a rule for another service than that which its upstreams call. Behind gateway.remote any service
// may be an upstream.
func (c *checker) calledService(r *Rule) {
	upstreams, _ := c.called(r)
	if len(upstreams) == 0 || len(r.Match.Service) == 0 || c.set.Manifest.Gateway.Remote != nil {
		return
	}
	var services []string
	for _, u := range upstreams {
		if u.Service == "" || r.Match.Service.match(u.Service) { // without one it is refused already
			return
		}
		if !slices.Contains(services, u.Service) {
			services = append(services, u.Service)
		}
	}
	p := c.rule(r, "match.service", "upstream %s calls %s: rule %s does nothing here",
		strings.Join(r.Match.Upstream, ", "), strings.Join(services, ", "), r.Name)
	p.Warning = true
	for _, pattern := range r.Match.Service {
		if p.Suggestion == "" {
			p.Suggestion = Suggest(pattern, services)
		}
	}
}

// retriesNothing finds upstreams none of whose methods may run twice. Calls may still be idempotent by what their handler
// says, and what was provably not run is sent again in any case.
func (c *checker) retriesNothing(r *Rule) {
	upstreams, places := c.called(r)
	for i, u := range upstreams {
		if len(u.Idempotent) > 0 {
			continue
		}
		c.rule(r, "retry", "no method is idempotent at upstream %s: only calls that were provably not run are sent again; list methods under idempotent (%s)",
			u.Name, c.set.Manifest.Position(places[i])).Warning = true
	}
}
