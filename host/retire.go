package host

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// retire closes what the new generation no longer has, each instance after its last call, and then ends the metrics of
// methods that are gone, so that their last calls still count.
func (p *plan) retire(next *generation) {
	h := p.host
	h.retiring.Go(func() { p.listeners.Retire(h.life) })
	instances := slices.Collect(maps.Values(p.taken))
	h.retiring.Go(func() { h.discardAll(instances, p.prev.upstreamsWithout(next)) })
	h.retireClusters(p.prev, next)
	if l := p.prev.way(); l != nil && l != next.way() {
		h.retiring.Go(func() {
			h.leave(l)
			h.forget()
		})
	}
	if gone := p.prev.without(next); len(gone) > 0 {
		h.retiring.Go(func() {
			if h.lastCalls(gone) {
				h.forget()
			}
		})
	}
}

// without is the methods that next does not have.
func (g *generation) without(next *generation) []*method {
	if g == nil {
		return nil
	}
	var gone []*method
	for _, s := range g.services {
		for _, m := range s.methods {
			if !next.serves(m.full) {
				gone = append(gone, m)
			}
		}
	}
	return gone
}

// lastCalls waits until no call of the methods is left; false when the host ends before.
func (h *Host) lastCalls(gone []*method) bool {
	const look = 20 * time.Millisecond // how often
	for _, m := range gone {
		for m.rpcx.InFlight()+m.http.InFlight() > 0 {
			pause(h.life, look)
			if h.life.Err() != nil {
				return false
			}
		}
	}
	return true
}

// forget drops the metrics of the methods that are no longer served. No generation is being made meanwhile, which could
// serve them again.
func (h *Host) forget() {
	h.applying.Lock()
	defer h.applying.Unlock()
	h.metrics.Retain(h.current.Load().serves)
}

// serves tells whether a method, as Service/Method, belongs to the generation under just that name.
func (g *generation) serves(fullName string) bool {
	if l := g.way(); l != nil && l.labels.labelled(fullName) {
		return true
	}
	i := strings.LastIndexByte(fullName, '/')
	s, ok := g.byName.exact[fullName[:i]]
	if !ok || s.config.Name != fullName[:i] {
		return false
	}
	_, ok = s.byName.exact[fullName[i+1:]]
	return ok
}
