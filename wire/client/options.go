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

// Options are what a program tells a client. Resolver is required, all else has a useful zero value. They are not changed
// once given to New, and what they hold is used by many goroutines at once.
type Options struct {
	Resolver Resolver
	Pool     *Pool  // nil: that of Guard, or else one of the client's own
	Guard    Guard  // nil: no rules
	Upstream string // how rules and metrics name what is called; empty: the name of the service
	Group    string // only endpoints whose metadata has this group

	Policy Policy // how an endpoint is chosen; empty: p2c
	// HashOn is what consistentHash hashes: metadata.NAME or argument.FIELD, a field or key at the top of the argument,
	// in any spelling (user_id is UserID). A value counts as it is in JSON. Of frames given to Handle only JSON is looked
	// into: they go where typed arguments go if no tag leaves the field out or gives it a name that HashOn does not mean.
	// Calls whose value is null, empty or missing go by p2c; a type of argument that has no such field is warned of in
	// the log, once.
	HashOn string

	Codec         string           // raw, json, protobuf, msgpack or thrift; empty: msgpack
	Compression   wire.Compression // of payloads of at least CompressAbove bytes; gzip where zstd is not known to be taken
	CompressAbove int              // 0: 1 KiB
	LowerCase     bool             // send names in lower case, as the original easymicro does
	Idempotent    []string         // methods that may be sent twice; * stands for any text

	ConnectTimeout    time.Duration // for a connection, and for the first list of a service; 0: 1 s
	KeepaliveInterval time.Duration // without a byte from the peer, until it is asked for one; 0: 10 s; negative: it never is, not even before the first call
	KeepaliveTimeout  time.Duration // for that byte, until the connection is dead; 0: 3 s
	PoolSize          int           // connections to an endpoint, besides one for calls with requests or replies of 256 KiB and more; 0: 1
	MaxPending        int           // calls that are out or wait, over all; 0: 10,000
	Limits            wire.Limits   // of responses
	TLS               *tls.Config   // nil: plain; without a ServerName it is the host of the endpoint's address

	// Caller tells rules who calls, by the context of the call; nil: nobody in particular.
	Caller func(context.Context) string
	// Wrap is put around every call, outside of the rules: for spans and metrics. What it makes may hand on another frame
	// than it was given, or hand one on again; the context must be the one that it was given, or derived from it. The
	// status of the response tells whether the peer answered an error.
	Wrap func(wire.Handler) wire.Handler
	// OnAttempt is told of every time a call was sent, and to where. It must not block.
	OnAttempt func(ctx context.Context, endpoint string, err error)

	Logger *slog.Logger // nil discards
}

const (
	defaultConnectTimeout = time.Second
	defaultCompressAbove  = 1 << 10
	defaultMaxPending     = 10_000
)

// complete checks o and puts the defaults in.
func (o *Options) complete() (wire.Codec, error) {
	if o.Resolver == nil {
		return 0, errors.New("client: Options.Resolver is required: it finds the endpoints of services")
	}
	if o.Guard != nil {
		guards := o.Guard.Pool()
		if o.Pool != nil && guards != nil && o.Pool != guards {
			return 0, errors.New("client: Options.Pool is not the pool of Options.Guard, which would not learn of its endpoints: leave it out")
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
		return 0, fmt.Errorf("client: the Options.Codec %q is none of raw, json, protobuf, msgpack and thrift", o.Codec)
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
		return fmt.Errorf("the Options.Policy %q is none of %s, %s, %s, %s, %s and %s", o.Policy,
			RoundRobin, WeightedRoundRobin, Random, LeastRequest, P2C, ConsistentHash)
	}
	if o.Policy == ConsistentHash || o.HashOn != "" {
		where, name, _ := strings.Cut(o.HashOn, ".")
		if name == "" || where != hashMetadata && where != hashArgument {
			return fmt.Errorf("the Options.HashOn %q is neither metadata.NAME nor argument.FIELD", o.HashOn)
		}
	}
	if o.Compression > wire.Zstd {
		return fmt.Errorf("the Options.Compression is an unknown %s", o.Compression)
	}
	for name, n := range map[string]int64{
		"CompressAbove": int64(o.CompressAbove), "ConnectTimeout": int64(o.ConnectTimeout),
		"PoolSize": int64(o.PoolSize), "MaxPending": int64(o.MaxPending),
	} {
		if n < 0 {
			return fmt.Errorf("a negative Options.%s", name)
		}
	}
	return nil
}

// CallOption is a setting of one call. It may be used for others, too; a ReplyMetadata not at the same time.
type CallOption func(*callOptions)

type callOptions struct {
	metadata      wire.Metadata
	replyMetadata *wire.Metadata
	codec         wire.Codec
	compression   wire.Compression
	idempotent    bool
}

// Metadata sends a pair of metadata along, in place of an earlier one with the key.
func Metadata(key, value string) CallOption {
	return func(o *callOptions) { o.metadata.Set(key, value) }
}

// ReplyMetadata puts the metadata of the response into m, in place of what m had, also when the response is an error.
// It stays as it was when there is no response.
func ReplyMetadata(m *wire.Metadata) CallOption {
	return func(o *callOptions) { o.replyMetadata = m }
}

// Codec encodes the argument in another way than Options.Codec.
func Codec(c wire.Codec) CallOption {
	return func(o *callOptions) { o.codec = c }
}

// Compression compresses the argument in another way than Options.Compression, when it is long enough to.
func Compression(c wire.Compression) CallOption {
	return func(o *callOptions) { o.compression = c }
}

// Token says who calls: it is what hosts with `auth` ask for.
func Token(token string) CallOption { return Metadata(wire.MetaAuth, token) }

// Idempotent says that the call may be sent twice, as for a method in Options.Idempotent: the rules may repeat it even if
// it was perhaps run.
func Idempotent() CallOption {
	return func(o *callOptions) { o.idempotent = true }
}
