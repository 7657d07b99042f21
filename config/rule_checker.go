package config

import (
	"time"
)

// checkRules checks each rule, and what rules say together.
func checkRules(r *report) {
	ruleChecker{r}.check()
	checkTimings(r)
}

// ruleChecker checks what all rules have: a name, a match, a mode, a side, and kinds.
type ruleChecker struct{ *report }

func (c ruleChecker) check() {
	var byName, byWas names
	rules := c.set.Rules
	if len(rules) > MaxRules {
		r := &rules[MaxRules]
		c.rule(r, "", "the set has %d rules: at most %d are allowed", len(rules), MaxRules)
	}
	for i := range rules {
		r := &rules[i]
		if first, taken := byName.taken(r.Name, r.Position("name")); taken && r.Name != "" {
			c.rule(r, "name", "the name %s is taken by %s", r.Name, theRuleIn(first))
		}
	}
	match, kinds := newMatchChecker(c.report), kindChecker(c)
	for i := range rules {
		r := &rules[i]
		c.was(r, &byName, &byWas)
		match.check(r)
		c.modes(r)
		c.side(r)
		kinds.check(r)
	}
}

// theRuleIn is a rule by its place, which rules in code have not.
func theRuleIn(at Position) string {
	if at.IsZero() {
		return "another rule"
	}
	return "the rule in " + at.String()
}

func (c ruleChecker) was(r *Rule, byName, byWas *names) {
	if r.Was == "" {
		return
	}
	if at, exists := byName.first[r.Was]; exists {
		c.rule(r, "was", "%s still exists, in %s: was is for a former name", r.Was, at)
	}
	if first, taken := byWas.taken(r.Was, r.Position("was")); taken {
		c.rule(r, "was", "two rules have was: %s, this one and the one in %s", r.Was, first)
	}
}

func (c ruleChecker) modes(r *Rule) {
	if r.EnforceShare != nil && r.Mode == Shadow {
		c.rule(r, "enforceShare", "has no effect with mode: shadow, which enforces nothing")
	}
	c.expires(r)
}

func (c ruleChecker) expires(r *Rule) {
	if r.Expires.IsZero() {
		return
	}
	e := r.expiry()
	message, soon := e.soon(c.now)
	switch {
	case soon && r.Mode != Off:
		c.rule(r, "expires", "the rule %s", message).Warning = true
	case r.Expired(c.now):
		message = "the rule expired on " + r.Expires.Format(time.RFC3339) + " and has no effect"
		if e.Opens() {
			message += ": " + e.Effect()
		}
		c.rule(r, "expires", "%s", message).Warning = true
	}
}

// side finds what belongs on the other side: a rule with match.upstream is about calls that go out, any other about calls
// that come in.
func (c ruleChecker) side(r *Rule) {
	wrong, hint := Kind.ClientOnly, "is for outgoing calls: select them with match: {upstream: …}"
	if r.ClientSide() {
		wrong, hint = Kind.ServerOnly, "is for incoming calls: put it into a rule without match.upstream; a rule with it may have "+kindsOfSide(r)
	}
	for _, k := range r.Kinds() {
		if wrong(k) {
			c.rule(r, string(k), "%s", hint)
		}
	}
	if b := r.CircuitBreaker; b != nil && !r.ClientSide() && (b.Scope == ScopeEndpoint || b.Scope == ScopeUpstream) {
		c.rule(r, "circuitBreaker.scope", "%s is for outgoing calls: select them with match: {upstream: …}, or leave scope out", b.Scope)
	}
	if !r.ClientSide() {
		return
	}
	if len(r.Match.Peer) > 0 {
		c.rule(r, "match.peer", "is for incoming calls: with upstream there is no peer, and the rule would match nothing")
	}
}
