package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/easymicro/easymicro/wire/wildcard"
)

// Losses is what a set takes out of force that is in force with the set before it.
type Losses struct {
	lost     []loss
	rules    int // of the old set that have not expired
	gone     int // of them, that the new set does not have
	enforced int // of the old set
}

// loss is an enforced rule that is gone, or one for access that refuses less now.
type loss struct {
	rule   *Rule
	how    string
	access bool
}

// Lost compares the rules of two sets. A rule of the old one is found in the next by its name, as the former name that a
// rule says (was), or else by its content: it is not lost when it was renamed.
func Lost(old, next *Set) Losses {
	var l Losses
	now := time.Now()
	after := successors(old.Rules, next.Rules)
	for i := range old.Rules {
		r := &old.Rules[i]
		if r.Expired(now) {
			continue
		}
		l.rules++
		heir := after[r]
		if heir == nil {
			l.gone++
		}
		if r.Mode != Enforce && r.Mode != "" {
			continue
		}
		l.enforced++
		switch {
		case heir == nil:
			l.lost = append(l.lost, loss{r, "was removed", r.Access != nil})
		case r.Access == nil: // to try a limit without enforcing it is no accident
		default:
			how := heir.disarmed(now)
			if how == "" {
				how = weakened(r, heir)
			}
			if how != "" {
				l.lost = append(l.lost, loss{r, how, true})
			}
		}
	}
	return l
}

// Doubtful reports whether the new set may be half of what somebody is writing: an enforced access rule is lost or
// refuses less, or more than half of the rules are gone at once. That is decided by what protects callers and not by
// what was meant: an access rule that is turned off on purpose is in force until the second look, too.
func (l Losses) Doubtful() bool {
	return 2*l.gone > l.rules || slices.ContainsFunc(l.lost, func(one loss) bool { return one.access })
}

// Warnings names what is lost; there are none when nothing is.
func (l Losses) Warnings() Problems {
	const most = 10
	var warnings Problems
	warn := func(at Position, format string, args ...any) {
		warnings = append(warnings, Problem{
			File: at.File, Line: at.Line, Column: at.Column, Message: fmt.Sprintf(format, args...), Warning: true,
		})
	}
	for _, one := range l.lost[:min(most, len(l.lost))] {
		warn(one.rule.Position(""), "the enforced rule %s %s", one.rule.Name, one.how)
	}
	if more := len(l.lost) - most; more > 0 {
		warn(Position{}, "%d more of %d enforced rules were removed or refuse less", more, l.enforced)
	}
	return warnings
}

// successors finds what became of the rules of a set.
func successors(old, next []Rule) map[*Rule]*Rule {
	names, former, known := map[string]*Rule{}, map[string]*Rule{}, map[string]bool{}
	for i := range next {
		names[next[i].Name] = &next[i]
		if was := next[i].Was; was != "" {
			former[was] = &next[i]
		}
	}
	after := make(map[*Rule]*Rule, len(old))
	var missing []*Rule
	for i := range old {
		r := &old[i]
		known[r.Name] = true
		if heir := names[r.Name]; heir != nil {
			after[r] = heir
		} else if heir := former[r.Name]; heir != nil {
			after[r] = heir
		} else {
			missing = append(missing, r)
		}
	}
	if len(missing) == 0 {
		return after
	}
	fresh := map[string][]*Rule{} // by content
	for i := range next {
		if r := &next[i]; !known[r.Name] {
			fresh[r.content()] = append(fresh[r.content()], r)
		}
	}
	for _, r := range missing {
		if same := fresh[r.content()]; len(same) > 0 {
			after[r], fresh[r.content()] = same[0], same[1:]
		}
	}
	return after
}

// weakened is how next refuses less than the access rule that it takes the place of, as one does whose end is not written
// yet; empty when it does not.
func weakened(old, next *Rule) string {
	a, b := old.Access, next.Access
	if b == nil {
		return "no longer has access"
	}
	allowed := listed(a.Allow)
	switch {
	case len(a.Allow) > 0 && len(b.Allow) == 0:
		return "no longer has access.allow"
	case slices.ContainsFunc(b.Allow, func(e AccessEntry) bool { return len(e.Methods) == 0 && allowed.limits(e.Caller) }):
		return "allows all methods where it allowed some (access.allow)"
	case !listed(b.Deny).cover(a.Deny):
		return "denies less than before"
	case share(next.EnforceShare) < share(old.EnforceShare):
		return "is enforced for fewer callers (enforceShare)"
	}
	m, n := &old.Match, &next.Match
	for _, field := range []struct {
		name   string
		covers bool
	}{
		{"service", coversPatterns(n.Service, m.Service)},
		{"method", coversPatterns(n.Method, m.Method)},
		{"caller", coversPatterns(n.Caller, m.Caller)},
		{"peer", coversPeers(n.Peer, m.Peer)},
		{"upstream", old.ClientSide() == next.ClientSide() && coversPatterns(n.Upstream, m.Upstream)},
	} {
		if !field.covers {
			return "matches less than before (match." + field.name + ")"
		}
	}
	if slices.ContainsFunc(n.Except, func(e Exception) bool { return !m.Except.cover(e) }) {
		return "matches less than before (match.except)"
	}
	return ""
}

// accessList finds entries by the callers that they name.
type accessList struct {
	entries map[string][]*AccessEntry
	globs   []string // of the callers
}

func listed(list []AccessEntry) accessList {
	l := accessList{entries: map[string][]*AccessEntry{}}
	for i := range list {
		for _, caller := range list[i].Caller {
			if isGlob(caller) && l.entries[caller] == nil {
				l.globs = append(l.globs, caller)
			}
			l.entries[caller] = append(l.entries[caller], &list[i])
		}
	}
	return l
}

// methods returns those that entries have for all whom a pattern of callers matches, and whether there are such entries.
// No methods are all methods.
func (l accessList) methods(caller string) (methods Patterns, ok bool) {
	names := []string{caller}
	for _, g := range l.globs {
		if g != caller && wildcard.Covers(g, caller) {
			names = append(names, g)
		}
	}
	for _, name := range names {
		for _, e := range l.entries[name] {
			if len(e.Methods) == 0 {
				return nil, true
			}
			methods = append(methods, e.Methods...)
		}
	}
	return methods, len(methods) > 0
}

// cover reports whether the list is for all calls that other entries are for.
func (l accessList) cover(others []AccessEntry) bool {
	for i := range others {
		for _, caller := range others[i].Caller {
			if methods, ok := l.methods(caller); !ok || !coversPatterns(methods, others[i].Methods) {
				return false
			}
		}
	}
	return true
}

// limits reports whether the list is for some methods, but not for all, of one of the callers.
func (l accessList) limits(callers Patterns) bool {
	return slices.ContainsFunc(callers, func(caller string) bool {
		methods, _ := l.methods(caller)
		return !coversPatterns(methods, nil)
	})
}

func share(s *Share) float64 {
	if s == nil {
		return 1
	}
	return float64(*s)
}
