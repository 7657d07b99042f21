package policies

import (
	"slices"

	"github.com/easymicro/easymicro/config"
)

// accessList is an access rule for one method.
type accessList struct {
	allow, deny patternSet
	onlyAllowed bool // there is an allow list, even if none of it is about this method
}

// accessFor is the rule's list for a method: the same for all of them as long as no entry names any, since a list may
// be long and the methods many.
func (r *rule) accessFor(method string) *accessList {
	a := r.config.Access
	namesMethods := func(e config.AccessEntry) bool { return len(e.Methods) > 0 }
	if !slices.ContainsFunc(a.Allow, namesMethods) && !slices.ContainsFunc(a.Deny, namesMethods) {
		method = ""
	}
	l := r.access[method]
	if l == nil {
		l = &accessList{allow: callersOf(a.Allow, method), deny: callersOf(a.Deny, method), onlyAllowed: len(a.Allow) > 0}
		if len(r.access) < mostLate {
			r.access[method] = l
		}
	}
	return l
}

func (l *accessList) allows(caller string) bool {
	if l.deny.match(caller) {
		return false
	}
	return !l.onlyAllowed || l.allow.match(caller)
}

// callersOf are the callers of the entries that are about a method.
func callersOf(entries []config.AccessEntry, method string) patternSet {
	var who []string
	for _, e := range entries {
		if len(e.Methods) == 0 || matchesAny(compileGlobs(e.Methods), method) {
			who = append(who, e.Caller...)
		}
	}
	return newPatternSet(who)
}
