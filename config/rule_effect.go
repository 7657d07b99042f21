package config

import (
	"slices"
	"time"
)

// ruleEffect finds the effect of the changes of one rule.
type ruleEffect struct {
	old, next *Rule
	off, on   bool // next is not enforced; old was not
	refuses   bool // either has a kind that refuses or ends calls
}

func newRuleEffect(old, next *Rule, now time.Time) *ruleEffect {
	return &ruleEffect{
		old: old, next: next, off: next.disarmed(now) != "", on: old.disarmed(now) != "",
		refuses: canRefuse(old) || canRefuse(next),
	}
}

// canRefuse reports whether a rule has a kind that refuses or ends calls.
func canRefuse(r *Rule) bool { return slices.ContainsFunc(r.Kinds(), Kind.refuses) }

// rulePresence returns the effect of adding a rule: Tighter even if it overrides a less specific one.
func rulePresence(r *Rule, now time.Time) Effect {
	switch {
	case r.disarmed(now) != "":
		return Neutral
	case canRefuse(r):
		return Tighter
	default:
		return Changed
	}
}

// of returns the effect of the change of a field, given what its tag says.
func (x *ruleEffect) of(path string, tagged Effect) Effect {
	switch {
	case x.off && x.on || tagged == Neutral:
		return Neutral
	case (x.off || x.on) && !x.refuses:
		return Changed
	case x.off:
		return Wider
	case x.on:
		return Tighter
	}
	o, n := x.old, x.next
	switch path {
	case "name", "was":
		if o.EnforceShare == nil && n.EnforceShare == nil { // it selects callers by the name of the rule
			return Neutral
		}
		return Changed
	case "access.allow":
		return x.allow(o.Access.Allow, n.Access.Allow)
	case "access.deny":
		return tighterIf(indexAccess(n.Access.Deny).cover(o.Access.Deny), indexAccess(o.Access.Deny).cover(n.Access.Deny))
	}
	had, has := slices.Contains(o.Kinds(), Kind(path)), slices.Contains(n.Kinds(), Kind(path))
	if had != has && Kind(path).refuses() {
		return tighterIf(has, had)
	}
	e, known := x.reach(path)
	switch {
	case !known:
		return tagged
	case !x.refuses:
		return Changed
	default:
		return e
	}
}

// reach returns the effect of a field that says for which calls a rule is enforced, if it is such a field.
func (x *ruleEffect) reach(path string) (e Effect, ok bool) {
	o, n := x.old, x.next
	both := func(covers func(wide, narrow Patterns) bool, a, b Patterns) Effect {
		return tighterIf(covers(b, a), covers(a, b))
	}
	switch path {
	case "expires":
		return tighterIf(n.Expires.IsZero() || !o.Expires.IsZero() && n.Expires.After(o.Expires),
			o.Expires.IsZero() || !n.Expires.IsZero() && o.Expires.After(n.Expires)), true
	case "enforceShare":
		return tighterIf(share(n.EnforceShare) >= share(o.EnforceShare), share(n.EnforceShare) <= share(o.EnforceShare)), true
	case "match.service":
		return both(coversPatterns, o.Match.Service, n.Match.Service), true
	case "match.method":
		return both(coversPatterns, o.Match.Method, n.Match.Method), true
	case "match.caller":
		return both(coversPatterns, o.Match.Caller, n.Match.Caller), true
	case "match.identity":
		return tighterIf(n.Match.Identity.cover(o.Match.Identity), o.Match.Identity.cover(n.Match.Identity)), true
	case "match.peer":
		return both(coversPeers, o.Match.Peer, n.Match.Peer), true
	case "match.upstream":
		if o.ClientSide() != n.ClientSide() {
			return Changed, true
		}
		return both(coversPatterns, o.Match.Upstream, n.Match.Upstream), true
	case "match.except":
		return tighterIf(o.Match.Except.coverAll(n.Match.Except), n.Match.Except.coverAll(o.Match.Except)), true
	}
	return "", false
}

// allow returns the effect of a change of access.allow. An empty list allows all.
func (x *ruleEffect) allow(old, next []AccessEntry) Effect {
	switch {
	case len(old) == 0:
		return Tighter
	case len(next) == 0:
		return Wider
	}
	return tighterIf(indexAccess(old).cover(next), indexAccess(next).cover(old))
}

// tighterIf returns Tighter if the new value refuses all that the old one does, and Wider if the old one refuses all that the
// new one does.
func tighterIf(tighter, wider bool) Effect {
	switch {
	case tighter && !wider:
		return Tighter
	case wider && !tighter:
		return Wider
	default:
		return Changed
	}
}
