package client

import "context"

// Guard applies client-side rules: it decides whether, how often and for how long a call is sent. Package policies compiles
// Guards from rules.
type Guard interface {
	// Do runs call with one or more Attempts, which may be concurrent, and waits for all of them. It returns the slot of the
	// attempt whose response counts, and the error of the call.
	Do(ctx context.Context, call OutgoingCall) (slot int, err error)
	// Pool returns the Pool from which the rules learn about endpoints, which clients must use, or nil if any will do.
	Pool() *Pool
}

// OutgoingCall is a call that a Guard runs.
type OutgoingCall interface {
	Upstream() string
	Service() string
	Method() string
	Caller() string
	Get(key string) string // metadata value of the request
	Idempotent() bool      // it may be repeated even if it was run
	// Attempt sends the call once, with the deadline of ctx, waits for the response and stores it in slot. Concurrent
	// attempts need different slots: 0, 1, …. A nil endpoints admits all.
	Attempt(ctx context.Context, slot int, endpoints EndpointFilter) error
	// Redial dials endpoints that are not connected without waiting for their backoff; a nil which means all. If no endpoint
	// is connected, attempts wait for these dials. It returns false if there is no such endpoint, or if the last attempt in
	// slot has tried one.
	Redial(slot int, which func(address string) bool) bool
}

// EndpointFilter limits which endpoints an attempt may use.
type EndpointFilter interface {
	// Admit reports whether an endpoint may be used. It is called right before its use. A refused endpoint is not tried
	// again in the same attempt.
	Admit(address string) bool
	// Settle is called once for each admitted endpoint, with the outcome: nil, the error of the call, or that of connecting.
	Settle(address string, err error)
}
