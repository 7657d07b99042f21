// Package client calls services by name: it resolves the name to endpoints, balances over them, asks the rules, and
// sends.
package client

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// Options are what a program tells a client. Resolver is required, all else has a useful zero value.
type Options struct {
	Resolver Resolver
	Guard    Guard  // nil: no rules
	Upstream string // how rules and metrics name what is called; empty: the name of the service
	Group    string // only endpoints whose metadata has this group

	Policy Policy // how an endpoint is chosen; empty: p2c
	HashOn string // what consistentHash hashes: metadata.NAME or argument.FIELD

	Codec         string           // raw, json, protobuf, msgpack or thrift; empty: msgpack
	Compression   wire.Compression // of payloads of at least CompressAbove bytes
	CompressAbove int              // 0: 1 KiB
	LowerCase     bool             // send names in lower case, as the original easymicro does
	Idempotent    []string         // methods that may be sent twice; globs

	ConnectTimeout    time.Duration // 0: 1 s
	KeepaliveInterval time.Duration // 0: 10 s
	KeepaliveTimeout  time.Duration // 0: 3 s
	PoolSize          int           // connections to an endpoint; 0: 1
	MaxPending        int           // calls that are out or wait, over all; 0: 10,000
	Limits            wire.Limits   // of responses
	TLS               *tls.Config   // nil: plain

	// Caller tells rules who calls; nil: nobody in particular.
	Caller func(context.Context) string
	// Wrap is put around every call, outside of the rules: for spans and metrics.
	Wrap func(wire.Handler) wire.Handler
	// OnAttempt is told of every time a call was sent, and to where. It must not block.
	OnAttempt func(ctx context.Context, endpoint string, err error)

	Logger *slog.Logger // nil discards
}

// Endpoint is one place where a service is served.
type Endpoint struct {
	Network  string            // tcp or unix; empty: tcp
	Address  string            // host:port or path; it identifies the endpoint to rules
	Weight   int               // 0: 1
	Metadata map[string]string // as published: group, weight, …
}

// Resolver finds the endpoints of services.
type Resolver interface {
	// Watch tells update the endpoints of service: those that are known, as soon as they are, and all of them again
	// after every change, until ctx ends; then it returns. An error in place of a list says why nothing new is known;
	// the last list goes on to hold. A service that does not exist has no endpoints, which is no error. The list is
	// not changed once given. update is called by one goroutine at a time and does not block.
	Watch(ctx context.Context, service string, update func([]Endpoint, error)) error
}

// Policy is how an endpoint is chosen.
type Policy string

// The policies.
const (
	RoundRobin         Policy = "roundRobin"
	WeightedRoundRobin Policy = "weightedRoundRobin"
	Random             Policy = "random"
	LeastRequest       Policy = "leastRequest"
	P2C                Policy = "p2c"
	ConsistentHash     Policy = "consistentHash"
)

// Client calls services. Any number of goroutines may use it at once.
type Client struct{}

// New makes a client. It opens no connection before the first call. The error says which option is wrong.
func New(o Options) (*Client, error) { return nil, errors.ErrUnsupported }

// Call calls a method and waits for its answer, which is decoded into reply, a pointer.
func (c *Client) Call(ctx context.Context, service, method string, args, reply any, o ...CallOption) error {
	return errors.ErrUnsupported
}

// Handle sends a request whose payload is encoded already. It makes a client a wire.Handler.
func (c *Client) Handle(ctx context.Context, req, res *wire.Frame) error {
	return errors.ErrUnsupported
}

// Status are the endpoints of the services that were called so far.
func (c *Client) Status() []ServiceStatus { return nil }

// Shutdown takes no more calls and returns when those that are out have ended, or with the error of ctx; then the client
// is closed.
func (c *Client) Shutdown(ctx context.Context) error { return nil }

// Close ends all connections. Calls that are out fail.
func (c *Client) Close() error { return nil }

// CallOption is a setting of one call.
type CallOption func(*callOptions)

type callOptions struct{}

// ServiceStatus is what a client knows of a service.
type ServiceStatus struct {
	Service   string
	Err       string // why nothing newer is known
	Endpoints []EndpointStatus
}

// EndpointStatus is the state of an endpoint.
type EndpointStatus struct {
	Endpoint
	State    string // idle, connecting, ready, backoff or draining
	InFlight int
	Latency  time.Duration // smoothed; 0 when unknown
	Err      string        // why it is not connected
}
