package policies

import (
	"sync"
	"sync/atomic"
)

// Snapshot is a compiled set of rules. It is not changed once made and may be shared; the state of its rules lives on.
type Snapshot struct {
	revision      int
	host          string
	rules         []*rule
	byName        map[string]*rule
	guards        map[Target]*Guard
	nothing       *Guard            // of what is no target
	aliases       map[string]string // to the name of the service
	transitions   *hub
	orders        uint64 // given to limiters and semaphores of this snapshot and those before it
	remote        func(service string) bool
	upstreamNames []string // nil: any
	allowed       []glob   // services behind a gateway; nil: any

	inbound   index // of the rules about calls that come in
	outbound  index // of those about calls that go out
	directory *Directory
	upstreams *Upstreams
	resolved  growing[Target, *Guard]  // of services that are not this host's
	calling   growing[calling, *Guard] // of upstreams
	compiling sync.Mutex               // held while one of these is made, or forgotten
	flights   sync.Pool                // of *flight, empty ones

	active     atomic.Bool
	activating sync.Once
	changes    []func()
}

// Activate puts the limits that the snapshot changes into force: they are those of the state that it shares with the
// snapshots before it, so calls that still run under those are held to them, too. Call it right after the swap; else
// the first call that enters one of the guards does it.
func (s *Snapshot) Activate() {
	if s == nil || s.active.Load() {
		return
	}
	s.activating.Do(func() {
		for _, change := range s.changes {
			change()
		}
		s.changes = nil
		s.directory.bringIntoForce(s)
		s.active.Store(true)
	})
}

// nextOrder is the place of a new limiter or semaphore in the one order in which calls lock them.
func (s *Snapshot) nextOrder() uint64 {
	s.orders++
	return s.orders
}

// Guard is that of one method. It is never nil, but for a nil Snapshot.
func (s *Snapshot) Guard(t Target) *Guard {
	if s == nil {
		return nil
	}
	if g := s.guards[t]; g != nil {
		return g
	}
	return s.nothing
}

// Revision is the one it was compiled for.
func (s *Snapshot) Revision() int { return s.revision }
