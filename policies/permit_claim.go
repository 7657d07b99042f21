package policies

import (
	"time"

	"github.com/easymicro/easymicro/policies/limit"
)

// permitClaim is one concurrency limit that the call is under.
type permitClaim struct {
	entry    *entry
	enforced bool
	locked   bool
	held     bool // from commit, or the end of a wait, to release
	state    limit.Room
	waiter   *limit.Waiter
	begun    time.Time // when it was held, if the limit adapts
}

// hold notes that the claim has its permit.
func (p *permitClaim) hold() {
	p.held = true
	if p.entry.rule.adaptive != nil {
		p.begun = time.Now()
	}
}

// release returns the permit of a call that was made, from whose duration a limit that adapts learns.
func (p *permitClaim) release(failed bool) {
	r := p.entry.rule
	if r.adaptive != nil && !p.begun.IsZero() {
		now := time.Now()
		r.adaptive.Observe(now, now.Sub(p.begun), r.semaphore.Running(), failed)
	}
	r.semaphore.Release()
}

// leave gives the claim up. sole reports that its permit was taken without the lock, made that the call was made.
func (p *permitClaim) leave(sole, made, failed bool) {
	s := p.entry.rule.semaphore
	if p.locked {
		p.locked = false
		s.Unlock()
	}
	if p.waiter != nil {
		s.Leave(p.waiter)
	}
	switch {
	case p.held && made:
		p.release(failed)
	case p.held || sole:
		s.Release()
	}
}
