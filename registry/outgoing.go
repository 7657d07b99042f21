package registry

import (
	"context"
	"slices"
)

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
