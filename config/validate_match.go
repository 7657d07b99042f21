package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/wire/wildcard"
)

// exceptions checks what a match leaves out.
func (c *checker) exceptions(r *Rule) {
	m := &r.Match
	if m.Except != nil && len(m.Except) == 0 {
		c.rule(r, "match.except", "is an empty list, which leaves nothing out: leave the key out")
	}
	anonymous := len(c.set.Manifest.Auth.Identify) == 0
	for i := range m.Except {
		e, path := &m.Except[i], r.exceptPath(i)
		switch {
		case e.IsZero():
			c.rule(r, path, "is empty, which leaves nothing out: leave the key out")
		case len(e.Upstream) > 0 && !r.ClientSide():
			c.rule(r, path+".upstream", "is for calls that go out: say which ones by match: {upstream: …}")
		case len(e.Peer) > 0 && r.ClientSide():
			c.rule(r, path+".peer", "is for calls that come in: with match.upstream there is no peer")
		case len(e.Method) > 0 && len(e.Service)+len(e.Upstream)+len(m.Service)+len(m.Upstream) == 0:
			c.rule(r, path+".method", "needs a service or an upstream beside it")
		case anonymous && !anonymousMatches(e.Caller):
			c.rule(r, path+".caller", "leaves no call out: without auth.identify every caller is anonymous").Warning = true
		case anonymous && len(e.Service)+len(e.Method)+len(e.Peer)+len(e.Upstream) == 0:
			c.rule(r, path+".caller", "leaves every call out: without auth.identify every caller is anonymous").Warning = true
		}
	}
}

// exceptPath is where an exception stands inside the rule: one alone needs no list around it.
func (r *Rule) exceptPath(i int) string {
	if len(r.Match.Except) == 1 && !r.at.written("match.except[0]") {
		return "match.except"
	}
	return fmt.Sprintf("match.except[%d]", i)
}

// callers checks the callers of a rule, wherever they stand.
func (c *checker) callers(r *Rule) {
	c.callerPatterns(r, "match.caller", r.Match.Caller, "write match: {except: {caller: %s}}")
	for i := range r.Match.Except {
		c.callerPatterns(r, r.exceptPath(i)+".caller", r.Match.Except[i].Caller, "write match: {caller: %s} instead of except")
	}
	if r.Access == nil {
		return
	}
	for i := range r.Access.Allow {
		c.callerPatterns(r, fmt.Sprintf("access.allow[%d].caller", i), r.Access.Allow[i].Caller, "write deny: [{caller: %s}]")
	}
	for i := range r.Access.Deny {
		c.callerPatterns(r, fmt.Sprintf("access.deny[%d].caller", i), r.Access.Deny[i].Caller, "write allow: [{caller: %s}]")
	}
}

// callerPatterns checks a list of callers. !NAME is meant to leave a caller out, which is done by what instead says.
func (c *checker) callerPatterns(r *Rule, path string, list Patterns, instead string) {
	known := c.knownCallers()
	for i, p := range list {
		if known.has(p) {
			continue
		}
		at := path
		if element := fmt.Sprintf("%s[%d]", path, i); r.at.written(element) {
			at = element
		}
		switch rest, not := strings.CutPrefix(p, "!"); {
		case not:
			if alternatives := listFor(rest, ","); alternatives != "" {
				rest = alternatives
			} else {
				rest = inQuotes(rest)
			}
			c.rule(r, at, "%q: in a pattern only * is special, and no token has that name; to leave callers out "+instead, clip(p), rest)
		case strings.ContainsAny(p, notInPatterns):
			c.rule(r, at, "%q: in a pattern only * is special, and no token has that name; write several in a list", clip(p)).
				Suggestion = insideOf(at, listFor(p, ","))
		case known.complete:
			problem := c.rule(r, at, "no token is for a caller %s: it matches no call", clip(p))
			problem.Warning, problem.Suggestion = true, known.suggest(p)
		}
	}
}

// insideOf is a suggestion as it can stand at path: within a list without brackets of its own.
func insideOf(path, suggestion string) string {
	if strings.HasSuffix(path, "]") && strings.HasPrefix(suggestion, "[") {
		return strings.TrimSuffix(strings.TrimPrefix(suggestion, "["), "]")
	}
	return suggestion
}

// callerNames are the callers that there can be.
type callerNames struct {
	sorted   []string
	complete bool // there are no others
	asked    int
	looked   int
}

func (c *checker) knownCallers() *callerNames {
	if c.callerNames != nil {
		return c.callerNames
	}
	k := &callerNames{complete: c.set.Tokens != nil && slices.Equal(c.set.Manifest.Auth.Identify, []string{"token"})}
	k.sorted = append(k.sorted, "anonymous")
	for _, t := range c.set.Tokens {
		k.sorted = append(k.sorted, t.Caller)
	}
	slices.Sort(k.sorted)
	k.sorted = slices.Compact(k.sorted)
	c.callerNames = k
	return k
}

// has reports whether one of the callers is as the pattern says. What a large set asks for is bounded: beyond that none is
// doubted.
func (k *callerNames) has(pattern string) bool {
	const most = 5_000_000
	prefix, _, glob := strings.Cut(pattern, "*")
	i, exact := slices.BinarySearch(k.sorted, prefix)
	if !glob {
		return exact
	}
	for ; i < len(k.sorted) && strings.HasPrefix(k.sorted[i], prefix); i++ {
		k.looked++
		if k.looked > most || wildcard.Match(pattern, k.sorted[i]) {
			return true
		}
	}
	return false
}

// suggest is the caller that was probably meant. What a large set asks for is bounded.
func (k *callerNames) suggest(pattern string) string {
	const most = 200_000 // names
	if k.asked += len(k.sorted); k.asked > most {
		return ""
	}
	return Suggest(pattern, k.sorted)
}
