package client

// Policy is how an endpoint is chosen.
type Policy string

// The policies.
const (
	RoundRobin         Policy = "roundRobin"
	WeightedRoundRobin Policy = "weightedRoundRobin"
	Random             Policy = "random"
	LeastRequest       Policy = "leastRequest"
	P2C                Policy = "p2c"
	ConsistentHash     Policy = "consistentHash"
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
		return consistentHash(members)
	case P2C:
	}
	return p2c(members)
}
