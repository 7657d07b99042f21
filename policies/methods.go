package policies

import (
	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
)

// methods is the state of the methods under a rule.
type methods struct {
	counters map[counterKey]*limit.Counter
	breakers map[breakerKey]*limit.Breaker // of scope method and upstream
}

type counterKey struct {
	kind   config.Kind
	target Target
}

type breakerKey struct {
	scope, upstream string
	target          Target
}

// grow returns the value of a key, or, if the map is full, of another one.
func grow[K comparable, V any](m *map[K]V, maximum int, key, other K, create func(K) V) V { //nolint:gocritic // a nil map is made
	if v, ok := (*m)[key]; ok {
		return v
	}
	if len(*m) >= maximum {
		key = other
		if v, ok := (*m)[key]; ok {
			return v
		}
	}
	if *m == nil {
		*m = make(map[K]V)
	}
	v := create(key)
	(*m)[key] = v
	return v
}

// ownOrShared returns the state of an upstream, or the one that all upstreams beyond the bound share. An upstream named Other
// has no state of its own.
func ownOrShared[T any](m map[string]T, upstream string) (of T, shared bool) {
	if own, ok := m[upstream]; ok && upstream != Other {
		return own, false
	}
	return m[Other], true
}
