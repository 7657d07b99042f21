package policies

import "strings"

// candidate is a rule that matches a method.
type candidate struct {
	rule *rule
	rank rank
}

// compareCandidates orders the narrowest first, and equally narrow ones by name, which is the same on every host.
func compareCandidates(a, b candidate) int {
	if n := compareRanks(a.rank, b.rank); n != 0 {
		return n
	}
	return strings.Compare(a.rule.name, b.rule.name)
}

// index finds the rules for a method. Most rules name their service or their upstream, and are found by it.
type index struct {
	named map[string][]*rule
	wide  []*rule
}

// newIndexes returns the index of the rules for incoming calls, by service, and for outgoing calls, by upstream.
func newIndexes(rules []*rule) (inbound, outbound index) {
	for _, r := range rules {
		if r.clientSide() {
			outbound.add(r, r.upstreams)
		} else {
			inbound.add(r, r.services)
		}
	}
	return inbound, outbound
}

func (x *index) add(r *rule, by []glob) {
	if !allExact(by) {
		x.wide = append(x.wide, r)
		return
	}
	if x.named == nil {
		x.named = make(map[string][]*rule)
	}
	for _, g := range by {
		if list := x.named[g.text]; len(list) == 0 || list[len(list)-1] != r {
			x.named[g.text] = append(list, r)
		}
	}
}

func (x *index) empty() bool { return len(x.named)+len(x.wide) == 0 }

// match returns the rules for a method, of an upstream for outgoing calls.
func (x *index) match(t Target, upstream string) (matching []candidate) {
	name := t.Service
	if upstream != "" {
		name = upstream
	}
	for _, rules := range [][]*rule{x.named[name], x.wide} {
		for _, r := range rules {
			if at, ok := r.matchesTarget(t, upstream); ok {
				matching = append(matching, candidate{r, at})
			}
		}
	}
	return matching
}
