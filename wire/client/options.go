package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// Options configure a client. Only Resolver is required. Options must not be changed after New, and what they refer to must
// be safe for concurrent use.
type Options struct {
	Resolver Resolver
	Pool     *Pool  // holds the endpoints; nil: Guard's, or a new one
	Guard    Guard  // nil: no rules
	Upstream string // name of the called services in rules and metrics; empty: their own
	Group    string // use only endpoints with this group in their metadata; empty: all

	Policy Policy // load balancing policy; empty: p2c
	// HashOn is the source of the key for consistentHash: metadata.NAME or argument.FIELD. FIELD is a field or key at the
	// top level of the argument, in any spelling (user_id is UserID). Its JSON form is hashed, so a JSON frame given to
	// Handle has the same key as a typed argument, unless a tag omits or renames the field. Other frames have no argument
	// key. Calls whose value is null, empty or missing are balanced by p2c; an argument type without the field is logged
	// once.
	HashOn string

	Codec         string           // raw, json, protobuf, msgpack or thrift; empty: msgpack
	Compression   wire.Compression // of payloads from CompressAbove bytes; peers not known to accept zstd get gzip
	CompressAbove int              // 0: 1 KiB
	LowerCase     bool             // send names in lower case, for hosts of easymicro 2019
	Idempotent    []string         // patterns of methods that may be sent twice; * matches any text

	ConnectTimeout    time.Duration // for connecting, and for the first list of a service; 0: 1 s
	KeepaliveInterval time.Duration // silence before a heartbeat; 0: 10 s; negative: no heartbeats, not even before the first call
	KeepaliveTimeout  time.Duration // for the answer to a heartbeat; 0: 3 s
	PoolSize          int           // connections to an endpoint, plus one for messages from 256 KiB; 0: 1
	MaxPending        int           // calls in flight or waiting to be sent; 0: 10,000
	Limits            wire.Limits   // limits of responses
	TLS               *tls.Config   // nil: no TLS; an empty ServerName means the host of the endpoint's address

	// Caller returns the caller for rules from the context of a call. If nil, the caller is empty.
	Caller func(context.Context) string
	// Wrap is middleware around every call, outside of the rules, for spans and metrics. The handler it returns may pass on
	// a different frame, or call the next handler several times; it must pass on its context or one derived from it. If
	// there is an error, the status of the response shows whether the peer returned it.
	Wrap func(wire.Handler) wire.Handler
	// OnAttempt, if not nil, is called after every attempt that was sent. It must not block.
	OnAttempt func(ctx context.Context, endpoint string, err error)

	Logger *slog.Logger // nil discards
}

const (
	defaultConnectTimeout = time.Second
	defaultCompressAbove  = 1 << 10
	defaultMaxPending     = 10_000
)

// complete validates o and sets defaults.
func (o *Options) complete() (wire.Codec, error) {
	if o.Resolver == nil {
		return 0, errors.New("client: Options.Resolver is required: it finds the endpoints of services")
	}
	if o.Guard != nil {
		guards := o.Guard.Pool()
		if o.Pool != nil && guards != nil && o.Pool != guards {
			return 0, errors.New("client: Options.Pool is not the pool of Options.Guard, whose rules would not know the endpoints: leave it out")
		}
		o.Pool = cmp.Or(o.Pool, guards)
	}
	if o.Pool == nil {
		o.Pool = new(Pool)
	}
	if err := o.check(); err != nil {
		return 0, fmt.Errorf("client: %w", err)
	}
	if o.Policy == "" {
		o.Policy = P2C
	}
	if o.Codec == "" {
		o.Codec = wire.Msgpack.String()
	}
	codec, ok := wire.ParseCodec(o.Codec)
	if !ok {
		return 0, fmt.Errorf("client: Options.Codec %q is not one of raw, json, protobuf, msgpack and thrift", o.Codec)
	}
	orDefault(&o.CompressAbove, defaultCompressAbove)
	orDefault(&o.ConnectTimeout, defaultConnectTimeout)
	orDefault(&o.PoolSize, 1)
	orDefault(&o.MaxPending, defaultMaxPending)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return codec, nil
}

func orDefault[T int | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

func (o *Options) check() error {
	switch o.Policy {
	case "", RoundRobin, WeightedRoundRobin, Random, LeastRequest, P2C, ConsistentHash:
	default:
		return fmt.Errorf("Options.Policy %q is not one of %s, %s, %s, %s, %s and %s", o.Policy,
			RoundRobin, WeightedRoundRobin, Random, LeastRequest, P2C, ConsistentHash)
	}
	if o.Policy == ConsistentHash || o.HashOn != "" {
		where, name, _ := strings.Cut(o.HashOn, ".")
		if name == "" || where != hashMetadata && where != hashArgument {
			return fmt.Errorf("Options.HashOn %q is neither metadata.NAME nor argument.FIELD", o.HashOn)
		}
	}
	if o.Compression > wire.Zstd {
		return fmt.Errorf("Options.Compression is an unknown %s", o.Compression)
	}
	for name, n := range map[string]int64{
		"CompressAbove": int64(o.CompressAbove), "ConnectTimeout": int64(o.ConnectTimeout),
		"PoolSize": int64(o.PoolSize), "MaxPending": int64(o.MaxPending),
	} {
		if n < 0 {
			return fmt.Errorf("negative Options.%s", name)
		}
	}
	return nil
}

// CallOption is an option of a call. It may be reused, a ReplyMetadata not concurrently.
type CallOption func(*callOptions)

type callOptions struct {
	metadata      wire.Metadata
	replyMetadata *wire.Metadata
	codec         wire.Codec
	compression   wire.Compression
	idempotent    bool
}

// Metadata sets a metadata pair of the request.
func Metadata(key, value string) CallOption {
	return func(o *callOptions) { o.metadata.Set(key, value) }
}

// ReplyMetadata sets *m to the metadata of the response, also of an error response. Without a response *m is unchanged.
func ReplyMetadata(m *wire.Metadata) CallOption {
	return func(o *callOptions) { o.replyMetadata = m }
}

// Codec overrides Options.Codec.
func Codec(c wire.Codec) CallOption {
	return func(o *callOptions) { o.codec = c }
}

// Compression overrides Options.Compression.
func Compression(c wire.Compression) CallOption {
	return func(o *callOptions) { o.compression = c }
}

// Token sets the token that identifies the caller to hosts with `auth`.
func Token(token string) CallOption { return Metadata(wire.MetaAuth, token) }

// Idempotent marks the call as idempotent, like Options.Idempotent: rules may repeat it even if it may have run.
func Idempotent() CallOption {
	return func(o *callOptions) { o.idempotent = true }
}

// Guard applies client-side rules: it decides whether, how often and for how long a call is sent. Package policies compiles
// Guards from rules.
type Guard interface {
	// Do runs call with one or more Attempts, which may be concurrent, and waits for all of them. It returns the slot of the
	// attempt whose response counts, and the error of the call.
	Do(ctx context.Context, call OutgoingCall) (slot int, err error)
	// Pool returns the Pool from which the rules learn about endpoints, which clients must use, or nil if any will do.
	Pool() *Pool
}

// WithDeadline returns a context for Attempts that is cheaper than that of context.WithDeadline. The caller must call Release
// when they have ended.
func WithDeadline(ctx context.Context, at time.Time) *wire.Deadline {
	return wire.WithDeadline(ctx, at)
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
