package policies

import (
	"sync"
	"sync/atomic"
)

// hub is where transitions go: to the host's function of the last compilation.
type hub struct {
	tell atomic.Pointer[func(Transition)]
}

// herald hands off the transitions of one thing, outside all locks and in order.
type herald struct {
	hub        *hub
	dirty      atomic.Bool // transitions are waiting
	mu         sync.Mutex  // taken inside other locks, never around them
	pending    []Transition
	delivering bool
}

// add keeps a transition for deliver.
func (h *herald) add(t Transition) {
	h.mu.Lock()
	h.pending = append(h.pending, t)
	h.mu.Unlock()
	h.dirty.Store(true)
}

func (h *herald) deliver() {
	if !h.dirty.Load() {
		return
	}
	for {
		h.mu.Lock()
		if h.delivering || len(h.pending) == 0 {
			h.mu.Unlock()
			return
		}
		batch := h.pending
		h.pending, h.delivering = nil, true
		h.dirty.Store(false)
		h.mu.Unlock()
		if tell := h.hub.tell.Load(); tell != nil {
			for _, t := range batch {
				(*tell)(t)
			}
		}
		h.mu.Lock()
		h.delivering = false
		h.mu.Unlock()
	}
}
