package registry

import (
	"context"
	"time"
)

// Call is what a handler can learn about the call it serves, through the functions that take its context. The host
// makes one for each call.
type Call struct {
	Service, Method string // as the manifest and the handler name them
	Caller          string // who calls; "anonymous" without an identity
	Metadata        Pairs  // what came with the request
	Reply           Pairs  // what goes back with the response; the handler's while its method runs

	// RuleDeadline is the deadline of the call if a rule of the host has set it; zero if the caller did, or nobody.
	RuleDeadline time.Time

	// Goexit, if set, is told that the handler ended its goroutine by runtime.Goexit. It runs in that goroutine, below
	// its last deferred functions. See Method.Call.
	Goexit func(*PanicError)

	// The call is itself the context of the call: a value of its own would cost an allocation each.
	parent context.Context //nolint:containedctx // this type is a context
}

type callKey struct{}

// WithCall is ctx with c in it. The returned context is c itself: it costs nothing, and c serves one call only.
func WithCall(ctx context.Context, c *Call) context.Context {
	c.parent = ctx
	return c
}

// Metadata is the metadata of the request that is being served. It is the host's: read it, and copy what outlives the
// call.
func Metadata(ctx context.Context) Pairs {
	if c := CallFrom(ctx); c != nil {
		return c.Metadata
	}
	return nil
}

// ReplyMetadata takes what goes back with the response: ReplyMetadata(ctx).Set("etag", tag). It is valid until the
// method returns. It is never nil; outside of a call what is set goes nowhere.
func ReplyMetadata(ctx context.Context) *Pairs {
	if c := CallFrom(ctx); c != nil {
		return &c.Reply
	}
	return new(Pairs)
}

// Caller is who calls: the name that the host's auth settings gave to the peer, "anonymous" if none, and empty outside
// of a call.
func Caller(ctx context.Context) string {
	if c := CallFrom(ctx); c != nil {
		return c.Caller
	}
	return ""
}

// CallFrom is the call that ctx belongs to, and nil outside of one.
func CallFrom(ctx context.Context) *Call {
	if c, ok := ctx.(*Call); ok {
		return c
	}
	c, _ := ctx.Value(callKey{}).(*Call)
	return c
}

// Deadline returns the deadline of the context that WithCall was given.
func (c *Call) Deadline() (time.Time, bool) { return c.parent.Deadline() }

// Done returns the Done channel of the context that WithCall was given.
func (c *Call) Done() <-chan struct{} { return c.parent.Done() }

// Err returns the error of the context that WithCall was given.
func (c *Call) Err() error { return c.parent.Err() }

// Value returns the value of key in the context that WithCall was given.
func (c *Call) Value(key any) any {
	if key == (callKey{}) {
		return c
	}
	return c.parent.Value(key)
}

// AfterFunc keeps package context from starting a goroutine for each context that is derived from c when the context
// below is not one of its own.
func (c *Call) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.parent, f) }
