package registry

import (
	"context"
	"slices"
	"time"
)

// Call describes the call being served. Handlers read it with the functions that take their context; the host makes one for
// each call.
type Call struct {
	Service, Method string // as the manifest and the handler name them
	Caller          string // name of the caller; "anonymous" without an identity
	Metadata        Pairs  // of the request
	Reply           Pairs  // of the response; belongs to the handler while its method runs

	// RuleDeadline is the deadline of the call if a rule of the host has set it, and zero otherwise.
	RuleDeadline time.Time

	// Goexit, if set, is called when the handler ends its goroutine by runtime.Goexit. It runs in that goroutine, below its
	// last deferred functions. See Method.Call.
	Goexit func(*PanicError)

	// Call is itself the context of the call, which saves the allocation of one.
	parent context.Context //nolint:containedctx // this type is a context
}

type callKey struct{}

// WithCall returns ctx with c in it. The returned context is c itself, so c must not be used for another call.
func WithCall(ctx context.Context, c *Call) context.Context {
	c.parent = ctx
	return c
}

// Metadata returns the metadata of the request being served. It belongs to the host: do not change it, and copy what
// outlives the call.
func Metadata(ctx context.Context) Pairs {
	if c := CallFrom(ctx); c != nil {
		return c.Metadata
	}
	return nil
}

// ReplyMetadata returns the metadata of the response, as in ReplyMetadata(ctx).Set("etag", tag). It is valid until the
// method returns. It is never nil; outside of a call it is discarded.
func ReplyMetadata(ctx context.Context) *Pairs {
	if c := CallFrom(ctx); c != nil {
		return &c.Reply
	}
	return new(Pairs)
}

// Caller returns the name that the host's auth settings assign to the peer, "anonymous" if none, and "" outside of a call.
func Caller(ctx context.Context) string {
	if c := CallFrom(ctx); c != nil {
		return c.Caller
	}
	return ""
}

// CallFrom returns the call that ctx belongs to, and nil outside of one.
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

// AfterFunc implements an interface that package context looks for: without it, each context derived from c would cost a
// goroutine if the parent is not one of package context.
func (c *Call) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.parent, f) }

// Pairs is metadata: keys and values in wire order. Keys are case-sensitive; if one repeats, the last value counts, as in
// rpcx. The zero value is empty and ready to use. Pairs is not safe for concurrent use.
type Pairs [][2]string //nolint:recvcheck // it is a slice: only Set needs the variable

// Get returns the value of key, and "" without one.
func (p Pairs) Get(key string) string {
	v, _ := p.Lookup(key)
	return v
}

// Lookup returns the value of key, and whether there is one.
func (p Pairs) Lookup(key string) (string, bool) {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i][0] == key {
			return p[i][1], true
		}
	}
	return "", false
}

// Set replaces the value of key, or appends it.
func (p *Pairs) Set(key, value string) {
	for i := len(*p) - 1; i >= 0; i-- {
		if (*p)[i][0] == key {
			(*p)[i][1] = value
			return
		}
	}
	*p = append(*p, [2]string{key, value})
}

type (
	outgoingKey struct{}
	replyOfKey  struct{}
)

// WithOutgoing returns a context that adds key and value to the metadata of calls to upstreams. Of the call being served,
// only the deadline and the trace are passed on by themselves. Keys of the protocol, which begin with __ or x-em-, are not
// sent, except __AUTH, the token that identifies this host to an upstream.
func WithOutgoing(ctx context.Context, key, value string) context.Context {
	pairs := slices.Clone(OutgoingMetadata(ctx))
	pairs.Set(key, value)
	return context.WithValue(ctx, outgoingKey{}, pairs)
}

// OutgoingMetadata returns the metadata that WithOutgoing added to ctx. It must not be changed.
func OutgoingMetadata(ctx context.Context) Pairs {
	pairs, _ := ctx.Value(outgoingKey{}).(Pairs)
	return pairs
}

// WithReplyOf returns a context for one call to an upstream. The reply metadata is stored in p before the call returns,
// even if the call fails.
func WithReplyOf(ctx context.Context, p *Pairs) context.Context {
	return context.WithValue(ctx, replyOfKey{}, p)
}

// ReplyOf returns where a client, or a fake in a test, stores the reply metadata of a call, as in ReplyOf(ctx).Set("etag",
// tag). It is never nil; without WithReplyOf it is discarded.
func ReplyOf(ctx context.Context) *Pairs {
	if p, ok := ctx.Value(replyOfKey{}).(*Pairs); ok && p != nil {
		return p
	}
	return new(Pairs)
}

// interrupted is like caught, for methods: it also calls Goexit of the Call in ctx.
func interrupted(ctx context.Context, recovered any) *PanicError {
	e := caught(recovered)
	if recovered == nil {
		if c := CallFrom(ctx); c != nil && c.Goexit != nil {
			c.Goexit(e)
		}
	}
	return e
}
