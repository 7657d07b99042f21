package policies

import (
	"time"

	"github.com/easymicro/easymicro/config"
)

// What tests from outside the package use of its inside.
const (
	MaxFound   = maxFound
	MaxPerCall = maxPerCall
)

var (
	KeyText      = keyText
	ParseNetwork = parseNetwork
)

// IsEmpty reports whether no rule applies to any call of the method.
func (g *Guard) IsEmpty() bool { return g.empty() }

// EnforcedFor reports whether a rule with enforceShare is enforced for a call.
func EnforcedFor(name string, share float64, c *Call) bool {
	r := spec{name: name, enforced: true, share: share}
	return r.enforcedFor(c)
}

// EqualRanks reports whether two rules, which both match a call, do so equally narrowly.
func EqualRanks(a, b *config.Rule, t Target, c *Call) bool {
	return compareRanks(rankOf(a, t, c), rankOf(b, t, c)) == 0
}

func rankOf(c *config.Rule, t Target, call *Call) rank {
	compiled, _ := newSpec(c, 1, "")
	m := candidate{rule: &rule{spec: *compiled}}
	m.rank, _ = compiled.names(t, "")
	narrow(&m, "", &subject{target: t}, call, time.Time{})
	return m.rank
}

// ComparedPairs returns how many pairs ValidateTies compares.
func ComparedPairs(rules []config.Rule) (n int) {
	for _, group := range grouped(rules) {
		for range candidatePairs(group) {
			n++
		}
	}
	return n
}
