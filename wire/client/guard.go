package client

import "context"

// Guard is the client-side rules: it decides whether, how often and for how long a call is sent. Package policies makes
// one of rules; the two packages know each other by the shapes below alone.
type Guard interface {
	// Do carries out call by its Attempt, once or several times, also at the same time. It returns when all attempts
	// have, with the slot of the attempt whose response counts, and the error of the call.
	Do(ctx context.Context, call OutgoingCall) (slot int, err error)
	// Pool returns the pool whose endpoints the rules keep state of, which is that of the client then. Nil is none.
	Pool() *Pool
}

// OutgoingCall is a call as the Guard sees it.
type OutgoingCall interface {
	Upstream() string
	Service() string
	Method() string
	Caller() string
	Get(key string) string // of the request's metadata
	Idempotent() bool      // may be sent twice though it was run
	// Attempt sends the call once and waits for the response, which it keeps in slot (0, 1, …; attempts at the same
	// time have slots of their own). The context's deadline is sent along. A nil endpoints admits all.
	Attempt(ctx context.Context, slot int, endpoints EndpointFilter) error
	// Redial has those endpoints that are not connected dialled soon, rather than when their time has come; who is nil
	// for all. Attempts wait for that if there is nothing better. It is false when there are none, and when the last
	// attempt of slot has tried some itself.
	Redial(slot int, who func(address string) bool) bool
}

// EndpointFilter says which endpoints an attempt may use.
type EndpointFilter interface {
	// Admit is asked for the endpoint about to be used. Those refused are left out for the rest of the attempt.
	Admit(address string) bool
	// Settle tells what came of an admitted one, once: nil, the error of the call, or that it cannot be reached.
	Settle(address string, err error)
}
