package config

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/easymicro/easymicro/config/lint"
	"github.com/easymicro/easymicro/wire/wildcard"
)

// Losses lists the rules that a new set no longer enforces.
type Losses struct {
	lost     []loss
	rules    int // rules of the old set that have not expired
	removed  int // of them, without a successor
	enforced int // enforced rules of the old set
}

// loss is an enforced rule that was removed, or an access rule that refuses less than before.
type loss struct {
	rule   *Rule
	how    string
	access bool
}

// Lost compares the rules of two sets. A rule is found in the next set by its name, by its former name (was), or by
// its content, so that renamed rules are not lost.
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
			l.removed++
		}
		if r.Mode != Enforce && r.Mode != "" {
			continue
		}
		l.enforced++
		switch {
		case heir == nil:
			l.lost = append(l.lost, loss{r, "was removed", r.Access != nil})
		case r.Access == nil: // only access rules are protected: loosening a limit is assumed to be deliberate
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

// Doubtful reports whether files of the new set may be incomplete, as while they are written: an enforced access rule is
// lost or refuses less, or more than half of the rules were removed at once. What counts is the protection, not the intent:
// an access rule that is turned off on purpose stays in force until the second look, too.
func (l Losses) Doubtful() bool {
	return 2*l.removed > l.rules || slices.ContainsFunc(l.lost, func(one loss) bool { return one.access })
}

// Warnings returns a warning for each loss.
func (l Losses) Warnings() Problems {
	const limit = 10
	var warnings Problems
	warn := func(at Position, format string, args ...any) {
		warnings = append(warnings, at.Problem("", fmt.Sprintf(format, args...)).Coded(lint.Lost))
	}
	for _, one := range l.lost[:min(limit, len(l.lost))] {
		warn(one.rule.Position(""), "the enforced rule %s %s", one.rule.Name, one.how)
	}
	if more := len(l.lost) - limit; more > 0 {
		warn(Position{}, "%d more of %d enforced rules were removed or refuse less", more, l.enforced)
	}
	return warnings
}

// successors maps each rule to its successor in the next set.
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
		if heir := cmp.Or(names[r.Name], former[r.Name]); heir != nil {
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

// weakened returns how next refuses less than the access rule that it replaces, or "". An incomplete file may cause it.
func weakened(old, next *Rule) string {
	a, b := old.Access, next.Access
	if b == nil {
		return "no longer has access"
	}
	allowed := indexAccess(a.Allow)
	switch {
	case len(a.Allow) > 0 && len(b.Allow) == 0:
		return "no longer has access.allow"
	case slices.ContainsFunc(b.Allow, func(e AccessEntry) bool { return len(e.Methods) == 0 && allowed.limits(e.Caller) }):
		return "allows all methods where it allowed some (access.allow)"
	case !indexAccess(b.Deny).cover(a.Deny):
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
		{"identity", n.Identity.cover(m.Identity)},
		{"peer", coversPeers(n.Peer, m.Peer)},
		{"upstream", old.ClientSide() == next.ClientSide() && coversPatterns(n.Upstream, m.Upstream)},
	} {
		if !field.covers {
			return "matches less than before (match." + field.name + ")"
		}
	}
	if !m.Except.coverAll(n.Except) {
		return "matches less than before (match.except)"
	}
	return ""
}

// accessIndex indexes access entries by their callers.
type accessIndex struct {
	entries map[string][]*AccessEntry
	globs   []string // the callers that are globs
}

func indexAccess(list []AccessEntry) accessIndex {
	l := accessIndex{entries: map[string][]*AccessEntry{}}
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

// methods returns the methods of the entries that match all callers of a pattern, and whether there are such
// entries. No methods are all methods.
func (l accessIndex) methods(caller string) (methods Patterns, ok bool) {
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

// cover reports whether the list matches all calls that the other entries match.
func (l accessIndex) cover(others []AccessEntry) bool {
	for i := range others {
		for _, caller := range others[i].Caller {
			if methods, ok := l.methods(caller); !ok || !coversPatterns(methods, others[i].Methods) {
				return false
			}
		}
	}
	return true
}

// limits reports whether the list matches some methods, but not all, of one of the callers.
func (l accessIndex) limits(callers Patterns) bool {
	return slices.ContainsFunc(callers, func(caller string) bool {
		methods, _ := l.methods(caller)
		return !coversPatterns(methods, nil)
	})
}

// has reports whether an entry matches a call.
func (l accessIndex) has(caller, method string) bool {
	matches := func(e *AccessEntry) bool { return anyOr(e.Methods, method) }
	if slices.ContainsFunc(l.entries[caller], matches) {
		return true
	}
	return slices.ContainsFunc(l.globs, func(g string) bool {
		return wildcard.Match(g, caller) && slices.ContainsFunc(l.entries[g], matches)
	})
}

func share(s *Share) float64 {
	if s == nil {
		return 1
	}
	return float64(*s)
}
