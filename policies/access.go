package policies

import "github.com/easymicro/easymicro/config"

// accessList is an access rule for one method.
type accessList struct {
	allow, deny callers
	onlyAllowed bool // there is an allow list, even if none of it is about this method
}

func newAccessList(a *config.Access, method string) *accessList {
	l := &accessList{onlyAllowed: len(a.Allow) > 0}
	l.allow.add(a.Allow, method)
	l.deny.add(a.Deny, method)
	return l
}

func (l *accessList) allows(caller string) bool {
	if l.deny.has(caller) {
		return false
	}
	return !l.onlyAllowed || l.allow.has(caller)
}

// callers is a set of them: a map of exact names and a walk over globs.
type callers struct {
	exact map[string]bool
	globs []glob
}

func (s *callers) add(entries []config.AccessEntry, method string) {
	for _, e := range entries {
		if len(e.Methods) > 0 && !matchesAny(compileGlobs(e.Methods), method) {
			continue
		}
		for _, g := range compileGlobs(e.Caller) {
			if !g.exact {
				s.globs = append(s.globs, g)
				continue
			}
			if s.exact == nil {
				s.exact = make(map[string]bool)
			}
			s.exact[g.text] = true
		}
	}
}

func (s *callers) has(caller string) bool {
	return s.exact[caller] || matchesAny(s.globs, caller)
}
