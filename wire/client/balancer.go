package client

// Policy is how an endpoint is chosen.
type Policy string

// The policies. RoundRobin and Random treat all endpoints alike; the others go by their weights, too.
const (
	RoundRobin         Policy = "roundRobin"         // each in turn
	WeightedRoundRobin Policy = "weightedRoundRobin" // each in turn, as often as its weight says
	Random             Policy = "random"             // any
	LeastRequest       Policy = "leastRequest"       // the one with the fewest calls of this client out, divided by its weight
	P2C                Policy = "p2c"                // of two at random the one with less latency × calls out ÷ weight: the heavy first
	ConsistentHash     Policy = "consistentHash"     // the same for the same key, see Options.HashOn; keys in proportion to weights
)

// balancer chooses among the members that it was made of. It is used by many at once and never blocks.
type balancer interface {
	// pick is one of the members that f allows, nil when it allows none.
	pick(f filter) *member
}

// filter says which members may be chosen for an attempt.
type filter interface {
	allows(m *member) bool
	now() int64                 // see Client.now
	key() (key uint64, ok bool) // what consistentHash goes by
}

// newBalancer makes the balancer of a list; old is that of the list before.
func newBalancer(p Policy, members []*member, old balancer) balancer {
	switch p {
	case RoundRobin:
		return newRoundRobin(members, old)
	case WeightedRoundRobin:
		return newWeighted(members, old)
	case Random:
		return random(members)
	case LeastRequest:
		return leastRequest(members)
	case ConsistentHash:
		return consistentHash{members, newP2C(members)}
	case P2C:
	}
	return newP2C(members)
}
