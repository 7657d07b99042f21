package policies

import "github.com/easymicro/easymicro/policies/limit"

// permitClaim is one concurrency limit that the call is under.
type permitClaim struct {
	entry    *entry
	enforced bool
	locked   bool
	held     bool // from commit, or the end of a wait, to release
	state    limit.Room
	waiter   *limit.Waiter
}

// leave gives the claim up. sole reports that its permit was taken without the lock.
func (p *permitClaim) leave(sole bool) {
	s := p.entry.rule.semaphore
	if p.locked {
		p.locked = false
		s.Unlock()
	}
	if p.waiter != nil {
		s.Leave(p.waiter)
	}
	if p.held || sole {
		s.Release()
	}
}
