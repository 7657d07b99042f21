package wire

import (
	"reflect"
	"sync"
	"sync/atomic"
)

// typeCache keeps what is known of types, or of what else stands behind a pointer for good. Reading it takes no lock and
// hashes no more than an address.
type typeCache[V any] struct {
	build func(reflect.Type) V
	known atomic.Pointer[map[uintptr]V]
	mu    sync.Mutex // for writing known
}

// maxKnown bounds a cache, and what is copied for something new: programs can make types, or descriptors, for each call.
const maxKnown = 1 << 12

func (c *typeCache[V]) of(t reflect.Type) V {
	if v, ok := c.load(t); ok {
		return v
	}
	v := c.build(t)
	c.store(t, v)
	return v
}

func (c *typeCache[V]) load(key any) (v V, ok bool) {
	if known := c.known.Load(); known != nil {
		v, ok = (*known)[addressOf(key)]
	}
	return v, ok
}

// store keeps v, which has to keep the key from being collected, unless that is a type.
func (c *typeCache[V]) store(key any, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := map[uintptr]V{}
	if known := c.known.Load(); known != nil && len(*known) < maxKnown {
		for address, old := range *known {
			next[address] = old
		}
	}
	next[addressOf(key)] = v
	c.known.Store(&next)
}

// addressOf is 0 for what is no pointer.
func addressOf(key any) uintptr {
	if v := reflect.ValueOf(key); v.Kind() == reflect.Pointer {
		return v.Pointer()
	}
	return 0
}
