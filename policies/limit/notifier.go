package limit

import (
	"sync"
	"sync/atomic"
	"time"
)

// Event is a transition of a breaker, of an endpoint under outlier detection, or of a keyed limiter.
type Event struct {
	Address  string // of the endpoint
	From, To string
	Cause    string
	At       time.Time
}

// notifier hands events to a function, outside all locks and in order.
type notifier struct {
	notify     func(Event)
	dirty      atomic.Bool // events are pending
	mu         sync.Mutex  // taken inside other locks, never around them
	pending    []Event
	delivering bool
}

// add queues an event for Notify.
func (n *notifier) add(e Event) {
	n.mu.Lock()
	n.pending = append(n.pending, e)
	n.mu.Unlock()
	n.dirty.Store(true)
}

// Notify delivers the pending events. The caller must hold no lock of this package.
func (n *notifier) Notify() {
	if !n.dirty.Load() {
		return
	}
	for {
		n.mu.Lock()
		if n.delivering || len(n.pending) == 0 {
			n.mu.Unlock()
			return
		}
		batch := n.pending
		n.pending, n.delivering = nil, true
		n.dirty.Store(false)
		n.mu.Unlock()
		for _, e := range batch {
			n.notify(e)
		}
		n.mu.Lock()
		n.delivering = false
		n.mu.Unlock()
	}
}
