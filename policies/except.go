package policies

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/wildcard"
)

// exception is what the match of a rule leaves out: calls that all of its fields match.
type exception struct {
	config                       *config.Exception
	services, methods, upstreams []glob
	callers                      patternSet
	peers                        []netip.Prefix
}

func compileExceptions(list config.Exceptions) ([]*exception, error) {
	var compiled []*exception
	for i := range list {
		c := &list[i]
		if c.IsZero() { // a mistake, which must not turn the rule off
			continue
		}
		peers, err := parseNetworks(c.Peer)
		if err != nil {
			return nil, err
		}
		compiled = append(compiled, &exception{
			config: c, services: compileGlobs(c.Service), methods: compileGlobs(c.Method), upstreams: compileGlobs(c.Upstream),
			callers: newPatternSet(c.Caller), peers: peers,
		})
	}
	return compiled, nil
}

// ofAll reports whether the exception leaves out methods whole, whoever calls them.
func (x *exception) ofAll() bool { return x.callers.empty() && len(x.peers) == 0 }

// matchesTarget reports whether the exception is about calls of a method, of an upstream for client-side rules.
func (x *exception) matchesTarget(t Target, upstream string) bool {
	return anyOrMatches(x.services, t.Service) && anyOrMatches(x.methods, t.Method) && anyOrMatches(x.upstreams, upstream)
}

func anyOrMatches(globs []glob, s string) bool { return len(globs) == 0 || matchesAny(globs, s) }

// matchesCall reports whether the exception leaves out a call of a method that it is about.
func (x *exception) matchesCall(c *Call) bool {
	return (x.callers.empty() || x.callers.match(c.Caller)) && (len(x.peers) == 0 || contains(x.peers, c.Peer))
}

// leavesOut reports whether no call of a method is left to the rule.
func (r *rule) leavesOut(t Target, upstream string) bool {
	return slices.ContainsFunc(r.except, func(x *exception) bool { return x.ofAll() && x.matchesTarget(t, upstream) })
}

// exceptionsOf are those that leave out some of the calls of a method.
func (r *rule) exceptionsOf(t Target, upstream string) (list []*exception) {
	for _, x := range r.except {
		if x.matchesTarget(t, upstream) {
			list = append(list, x)
		}
	}
	return list
}

// text is what of the exception matches a call, as explain says it: caller ops.
func (x *exception) text(of *subject, c *Call) string {
	var parts []string
	add := func(field string, patterns []string, text string) {
		if i := slices.IndexFunc(patterns, func(p string) bool { return wildcard.Match(p, text) }); i >= 0 {
			parts = append(parts, field+" "+patterns[i])
		}
	}
	add("upstream", x.config.Upstream, of.upstream)
	add("service", x.config.Service, of.target.Service)
	add("method", x.config.Method, of.target.Method)
	add("caller", x.config.Caller, c.Caller)
	for i, network := range x.peers {
		if network.Contains(c.Peer) {
			parts = append(parts, "peer "+x.config.Peer[i])
			break
		}
	}
	return "except " + strings.Join(parts, ", ")
}
