package route

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/client"
)

// Successor is a client that may replace another one. Until it is connected, calls use the other. It may be used concurrently.
type Successor struct {
	RefCount // calls
	Client   *client.Client
	Service  string // the service to call; empty: any

	before atomic.Pointer[Successor] // calls use it; nil: there is none, or TakeOver has returned
}

// Replace has calls use before until TakeOver returns. Call it before s is used.
func (s *Successor) Replace(before *Successor) { s.before.Store(before) }

// Enter admits a call and returns the client that it must use and then Release. It returns nil once s is retired; a newer
// generation then has the successor.
func (s *Successor) Enter() *Successor {
	if before := s.EnterBefore(); before != nil {
		return before
	}
	if s.Acquire() {
		return s
	}
	return nil
}

// EnterBefore is like Enter for a call that s has admitted. It returns nil if the call must use s.
func (s *Successor) EnterBefore() *Successor {
	if before := s.before.Load(); before != nil {
		return before.Enter()
	}
	return nil
}

// takeOverTimeout bounds how long calls use the client that is replaced.
const takeOverTimeout = 10 * time.Second

// TakeOver connects s to the endpoints that its calls need, and has calls use s from then on. It returns at once if s replaces
// no client, or one without connections.
func (s *Successor) TakeOver(ctx context.Context) {
	if s.InUse() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, takeOverTimeout)
	defer cancel()
	for now, was := s.first(), (*Successor)(nil); now != was && ctx.Err() == nil; now, was = s.first(), now { // was may be closed by now
		if s.Service != "" {
			s.Client.Connect(ctx, now.Client, s.Service)
		} else {
			s.Client.Connect(ctx, now.Client)
		}
	}
	s.before.Store(nil)
}

// first returns the successor that calls use in place of s.
func (s *Successor) first() *Successor {
	for before := s.before.Load(); before != nil; before = s.before.Load() {
		s = before
	}
	return s
}

// InUse reports whether calls use s, not the client that it replaces.
func (s *Successor) InUse() bool { return s.before.Load() == nil }
