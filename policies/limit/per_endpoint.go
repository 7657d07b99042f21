package limit

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
)

// maxEndpoints bounds the endpoints of an upstream that have state of their own.
const maxEndpoints = 4096

// PerEndpoint keeps state for each endpoint of an upstream; beyond 4096 endpoints they share the state of Other. Reading
// takes no lock.
type PerEndpoint[T any] struct {
	create  func(address string) T
	mu      sync.Mutex
	current atomic.Pointer[map[string]T] // replaced, never changed
}

// NewPerEndpoint returns an empty PerEndpoint that makes the state of an endpoint on first use.
func NewPerEndpoint[T any](create func(address string) T) *PerEndpoint[T] {
	return &PerEndpoint[T]{create: create}
}

// Of returns the state of an endpoint.
func (m *PerEndpoint[T]) Of(address string) T {
	if v, ok := m.All()[address]; ok {
		return v
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.All()
	if len(now) >= maxEndpoints && address != Other {
		address = Other
	}
	if v, ok := now[address]; ok {
		return v
	}
	next := make(map[string]T, len(now)+1)
	maps.Copy(next, now)
	address = strings.Clone(address)
	v := m.create(address)
	next[address] = v
	m.current.Store(&next)
	return v
}

// Drop forgets the endpoints that are gone.
func (m *PerEndpoint[T]) Drop(gone func(address string) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := maps.Clone(m.All())
	maps.DeleteFunc(next, func(address string, _ T) bool { return gone(address) })
	m.current.Store(&next)
}

// Each calls f for all endpoints; none is added meanwhile.
func (m *PerEndpoint[T]) Each(f func(T)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.All() {
		f(v)
	}
}

// All returns the current state by address. It must not be changed.
func (m *PerEndpoint[T]) All() map[string]T {
	if now := m.current.Load(); now != nil {
		return *now
	}
	return nil
}
