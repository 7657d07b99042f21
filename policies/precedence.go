package policies

import "cmp"

// rank says how narrow the part of a rule is that matched: a value for each field, in the order in which they are
// compared; the larger one is narrower.
type rank struct {
	method, service, caller, peer, upstream int32
}

// In a field, exact is narrower than a glob, which is narrower the longer its literal part, and all are narrower than
// no pattern.
const (
	absent    int32 = 0
	globFloor int32 = 1
	exactly   int32 = 1 << 30
)

func (g *glob) narrowness() int32 {
	if g.exact {
		return exactly
	}
	return globFloor + int32(g.literal)
}

// narrowest is the narrowness of the pattern that counts for s: absent when there are no patterns.
func narrowest(globs []glob, s string) (int32, bool) {
	if len(globs) == 0 {
		return absent, true
	}
	best := int32(-1)
	for i := range globs {
		if globs[i].matches(s) {
			best = max(best, globs[i].narrowness())
		}
	}
	return best, best >= 0
}

// compareRanks is negative when a is narrower, and so asked first.
func compareRanks(a, b rank) int {
	return cmp.Or(cmp.Compare(b.method, a.method), cmp.Compare(b.service, a.service), cmp.Compare(b.caller, a.caller),
		cmp.Compare(b.peer, a.peer), cmp.Compare(b.upstream, a.upstream))
}
