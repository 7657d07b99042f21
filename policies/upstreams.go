package policies

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Upstreams is the client-side rules of a set: those that match upstreams. It is a Guard of package wire/client; the two
// packages know each other by the shapes of Guarded and Endpoints alone. A nil Upstreams lets every call pass.
//
// A call has its timeout first, which counts from Do and holds for all of its attempts, then rateLimit and concurrency, then retry and
// hedge around the attempts; each attempt asks the breakers of scope method and upstream, and for each endpoint that
// the client is about to use outlierDetection and the breakers of scope endpoint.
type Upstreams struct {
	current atomic.Pointer[Snapshot]

	mu   sync.Mutex // held by Replace
	own  bool       // made by ClientGuard
	made int        // sets of rules
	told atomic.Pointer[func(Transition)]
}

// Guarded is a call to an upstream, as wire/client has it.
type Guarded = interface {
	Upstream() string
	Service() string
	Method() string
	Caller() string
	Get(key string) string // of the request's metadata
	Idempotent() bool      // may be sent twice though it was run
	// Attempt sends the call once and waits for the response, which it keeps in slot (0, 1, …; attempts at the same
	// time have slots of their own). The context's deadline is sent along. A nil endpoints admits all.
	Attempt(ctx context.Context, slot int, endpoints Endpoints) error
	// Redial has those endpoints that are not connected dialled soon, rather than when their time has come; who is nil
	// for all. Attempts wait for that if there is nothing better. It is false when there are none, and when the last
	// attempt of slot has tried some itself.
	Redial(slot int, who func(address string) bool) bool
}

// Endpoints says which endpoints an attempt may use.
type Endpoints = interface {
	// Admit is asked for the endpoint about to be used. Those refused are left out for the rest of the attempt.
	Admit(address string) bool
	// Settle tells what came of an admitted one, once: nil, the error of the call, or that it cannot be reached.
	Settle(address string, err error)
}

// Upstreams are the client-side rules of the snapshot.
func (s *Snapshot) Upstreams() *Upstreams {
	if s == nil {
		return nil
	}
	return s.upstreams
}

// Do carries out a call under the rules; see wire/client.Guard. A refusal is a *code.Error that names the rule. Without
// a rule about the call it is one Attempt.
func (u *Upstreams) Do(ctx context.Context, call Guarded) (slot int, err error) {
	slot, _, err = u.DoWithin(ctx, call, time.Time{})
	return slot, err
}

// DoWithin is Do for a call that is made within another one, whose deadline was set by a rule of this host, unless that
// is zero. When it is also the deadline of ctx, rules see in it one of ours, not one of the caller's. It tells as well which
// rules would have refused the call.
func (u *Upstreams) DoWithin(ctx context.Context, call Guarded, deadline time.Time) (slot int, would []ShadowRefusal, err error) {
	var s *Snapshot
	if u != nil {
		s = u.current.Load()
	}
	if s == nil || s.outbound.empty() {
		return 0, nil, call.Attempt(ctx, 0, nil)
	}
	g := s.guardOf(call.Upstream(), call.Service(), call.Method())
	if g.empty() {
		return 0, nil, call.Attempt(ctx, 0, nil)
	}
	if !s.active.Load() {
		s.Activate()
	}
	f, _ := s.flights.Get().(*flight)
	if f == nil {
		f = new(flight)
	}
	f.snapshot, f.call = s, call
	slot, err = f.fly(ctx, g, deadline)
	// All attempts have ended, and whatever they held is settled.
	would = f.asked.shadowed
	*f = flight{}
	s.flights.Put(f)
	return slot, would, err
}

// List opens the listing of a client; see wire/client.Guard.
func (u *Upstreams) List(upstream, service string) Listing {
	if u != nil {
		if s := u.current.Load(); s != nil {
			return s.directory.List(upstream, service)
		}
	}
	return new(Directory).List(upstream, service) // that nobody asks
}

// relist drops the state of endpoints that are gone.
func (s *Snapshot) relist(upstream string, c change) {
	for _, r := range s.rules {
		if r.clientSide() {
			r.late.keep(upstream, c.known, c.gone)
		}
	}
	if c.over {
		s.forget(upstream)
	}
}

// forget drops the state of an upstream, and the guards that have it.
func (s *Snapshot) forget(upstream string) {
	s.compiling.Lock()
	defer s.compiling.Unlock()
	for _, r := range s.rules {
		if r.clientSide() {
			r.late.forget(upstream)
		}
	}
	s.calling.drop(func(c calling) bool { return c.upstream == upstream })
}
