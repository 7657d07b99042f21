package policies

import "github.com/easymicro/easymicro/policies/limit"

// Opened holds the breakers that were not closed at a moment.
type Opened map[*limit.Breaker]bool

// OpenedBy returns the breakers of s that are not closed now.
func OpenedBy(s *Snapshot) Opened {
	o := make(Opened)
	if s == nil {
		return o
	}
	for _, r := range s.rules {
		if r.breaker == nil {
			continue
		}
		for _, b := range r.store.breakersOf(&r.added, nil) {
			if !b.IsClosed() {
				o[b.Breaker] = true
			}
		}
	}
	return o
}

// CloseOthers closes the breakers of s that have opened since, of calls to upstreams, or with an empty upstream to methods of this host,
// that which selects. Call it when the edit under which they opened was rolled back.
func (o Opened) CloseOthers(s *Snapshot, which func(upstream string, t Target) bool) {
	if s == nil {
		return
	}
	for _, r := range s.rules {
		if r.breaker == nil {
			continue
		}
		for _, b := range r.store.breakersOf(&r.added, which) {
			if !b.IsClosed() && !o[b.Breaker] {
				closeAfterRollback(b.Breaker)
			}
		}
	}
}

// closeAfterRollback closes a breaker that opened because of an edit.
func closeAfterRollback(b *limit.Breaker) {
	b.Reset("the edit under which it opened was rolled back")
	b.Notify()
}
