package policies

import (
	"context"
	"errors"

	"github.com/easymicro/easymicro/config"
)

// Upstreams is the client-side rules of a set: those that match upstreams. It is a Guard of package wire/client; the two
// packages know each other by the shapes of Guarded and Endpoints alone.
type Upstreams struct{}

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
}

// Endpoints says which endpoints an attempt may use.
type Endpoints = interface {
	// Admit is asked for the endpoint about to be used. Those refused are left out for the rest of the attempt.
	Admit(address string) bool
	// Settle tells what came of an admitted one, once: nil, the error of the call, or that it cannot be reached.
	Settle(address string, err error)
}

// ClientGuard compiles rules for a client without a manifest. Every service that it calls is an upstream of its name.
// The error is config.Problems.
func ClientGuard(rules []config.Rule) (*Upstreams, error) { return nil, errors.ErrUnsupported }

// Replace puts other rules into force, and keeps what those of the same name have learned. With an error the old stay.
func (u *Upstreams) Replace(rules []config.Rule) error { return errors.ErrUnsupported }

// OnTransition has tell told of every change of a breaker's state; see Options.
func (u *Upstreams) OnTransition(tell func(Transition)) {}

// Upstreams are the client-side rules of the snapshot.
func (s *Snapshot) Upstreams() *Upstreams { return nil }

// Do carries out a call under the rules; see wire/client.Guard.
func (u *Upstreams) Do(ctx context.Context, call Guarded) (slot int, err error) {
	return 0, call.Attempt(ctx, 0, nil)
}

// Endpoints says which endpoints a service of an upstream now has; state about others is dropped.
func (u *Upstreams) Endpoints(upstream, service string, addresses []string) {}
