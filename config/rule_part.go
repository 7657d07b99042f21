package config

import (
	"reflect"
	"time"
)

// Same reports whether two rules mean the same for a kind that both have.
func Same(r, o *Rule, kind Kind) bool {
	a, b := only(r, kind), only(o, kind)
	return a.Name == b.Name && (reflect.DeepEqual(&a, &b) || a.content() == b.content())
}

// ForAll returns a copy of a rule that is enforced for all calls.
func ForAll(r *Rule) *Rule {
	c := *r
	c.Match, c.Mode, c.EnforceShare, c.Expires = Match{Service: Patterns{"*"}}, Enforce, nil, time.Time{}
	if r.ClientSide() {
		c.Match = Match{Upstream: Patterns{"*"}}
	}
	return &c
}

// Tight returns a copy of a rule with limits that a second concurrent call exceeds.
func Tight(r *Rule) *Rule {
	c := *r
	unqueue(&c)
	if c.RateLimit != nil {
		c.RateLimit.Burst = 1
	}
	if c.Concurrency != nil {
		c.Concurrency.Max, c.Concurrency.Adaptive = 1, nil
	}
	return &c
}

// AccessCallers returns the first caller that an access rule allows, and the first that it denies.
func AccessCallers(r *Rule) []string {
	var callers []string
	if r.Access != nil {
		for _, list := range [][]AccessEntry{r.Access.Allow, r.Access.Deny} {
			if len(list) > 0 && len(list[0].Caller) > 0 {
				callers = append(callers, list[0].Caller[0])
			}
		}
	}
	return callers
}

// SameCalls reports whether two rules apply to the same calls, in the same mode.
func SameCalls(r, o *Rule) bool {
	a, b := only(r), only(o)
	return a.Name == b.Name && reflect.DeepEqual(&a, &b)
}

// only returns a rule with nothing but some of its kinds, and the fields that say which calls they apply to.
func only(r *Rule, kinds ...Kind) Rule {
	c := Rule{Match: r.Match, Mode: r.Mode, EnforceShare: r.EnforceShare, Expires: r.Expires}
	if r.EnforceShare != nil { // it selects callers by the name of the rule
		c.Name = r.Name
	}
	for _, kind := range kinds {
		kind.block(&c).Set(kind.block(r))
	}
	return c
}

// ForBaseline returns a rule with some of its kinds, under which no call waits.
func ForBaseline(r *Rule, kinds []Kind) Rule {
	c := only(r, kinds...)
	c.Name, c.path, c.at = r.Name, r.path, r.at
	unqueue(&c)
	return c
}

// unqueue changes the limits so that no call waits.
func unqueue(r *Rule) {
	if r.RateLimit != nil {
		limit := *r.RateLimit
		limit.OnExceed = OnExceedReject
		r.RateLimit = &limit
	}
	if r.Concurrency != nil {
		limit := *r.Concurrency
		limit.Queue = 0
		r.Concurrency = &limit
	}
}
