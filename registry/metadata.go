package registry

import (
	"context"
	"slices"
)

// Pairs is metadata: keys and values in the order of the wire. Keys are case-sensitive; should one repeat, the last
// counts, as it does for stock peers. The zero value is empty and ready. It is not safe for concurrent use.
type Pairs [][2]string //nolint:recvcheck // it is a slice: only Set needs the variable

// Get is the value of key, and empty without one.
func (p Pairs) Get(key string) string {
	v, _ := p.Lookup(key)
	return v
}

// Lookup is the value of key, and whether there is one.
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

// WithOutgoing is ctx for calls to upstreams that carry key with value, beside what ctx has them carry already. Nothing
// of the call that is being served goes on by itself, save its deadline and its trace. Names of the protocol (those that
// begin with __ or x-em-) are not sent, except for __AUTH, the token that an upstream knows this host by.
func WithOutgoing(ctx context.Context, key, value string) context.Context {
	pairs := slices.Clone(OutgoingMetadata(ctx))
	pairs.Set(key, value)
	return context.WithValue(ctx, outgoingKey{}, pairs)
}

// OutgoingMetadata is what WithOutgoing made ctx carry. It may not be changed.
func OutgoingMetadata(ctx context.Context) Pairs {
	pairs, _ := ctx.Value(outgoingKey{}).(Pairs)
	return pairs
}

// WithReplyOf is ctx for one call to an upstream, whose reply metadata is put into p before the call returns, also when
// it fails.
func WithReplyOf(ctx context.Context, p *Pairs) context.Context {
	return context.WithValue(ctx, replyOfKey{}, p)
}

// ReplyOf takes the reply metadata of a call to an upstream. It is for clients, and for fakes in tests:
// ReplyOf(ctx).Set("etag", tag). It is never nil; what nobody asked for goes nowhere.
func ReplyOf(ctx context.Context) *Pairs {
	if p, ok := ctx.Value(replyOfKey{}).(*Pairs); ok && p != nil {
		return p
	}
	return new(Pairs)
}
