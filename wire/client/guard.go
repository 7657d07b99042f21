package client

import "context"

// Guard is a set of client-side rules: it decides whether, how often and for how long a call is sent. Package policies
// compiles one from rules.
type Guard interface {
	// Do carries out call with one or more Attempts, which may be concurrent. It returns when all of them have, with the slot
	// of the attempt whose response counts, and the error of the call.
	Do(ctx context.Context, call OutgoingCall) (slot int, err error)
	// Pool returns the pool that tells the rules about endpoints. Clients of the guard use it. Nil means that the rules need
	// none.
	Pool() *Pool
}

// OutgoingCall is a call to an upstream, as a Guard sees it.
type OutgoingCall interface {
	Upstream() string
	Service() string
	Method() string
	Caller() string
	Get(key string) string // metadata of the request
	Idempotent() bool      // it may be sent again even if it was run
	// Attempt sends the call once, with the deadline of ctx, and waits for the response, which it keeps in slot: 0, 1, …, one
	// for each concurrent attempt. A nil endpoints admits all.
	Attempt(ctx context.Context, slot int, endpoints EndpointFilter) error
	// Redial makes endpoints that are not connected be dialled without waiting for their backoff; a nil which means all.
	// Attempts then wait for these dials if no endpoint is connected. It is false when there is no such endpoint, and when
	// the last attempt in slot has tried one.
	Redial(slot int, which func(address string) bool) bool
}

// EndpointFilter limits which endpoints an attempt may use.
type EndpointFilter interface {
	// Admit reports whether the endpoint may be used, just before it is. One that is refused is left out for the rest of the
	// attempt.
	Admit(address string) bool
	// Settle reports the outcome of an admitted endpoint, once: nil, the error of the call, or that it cannot be reached.
	Settle(address string, err error)
}
