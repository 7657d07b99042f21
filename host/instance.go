package host

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/outgoing"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
)

// An instance is an open handler or interceptor. Generations share it until its configuration changes; it is closed after its last
// call.
type instance struct {
	name    string // of the service, or of the upstream, it was opened for; empty for an interceptor of all services
	place   string // of an interceptor; empty for a handler
	entry   *registry.Entry
	service *registry.Service
	ready   readiness
	options config.RawOptions
	clients *bindings
	route.RefCount
}

// key identifies the instance among those of a generation.
func (i *instance) key() string {
	if i.place == "" {
		return i.name
	}
	return i.place + " " + i.entry.Name
}

// optionsDecoder returns the decoder of options; nil if none are set, so that the handler keeps its defaults.
func optionsDecoder(o config.RawOptions) func(any) error {
	if o.IsZero() {
		return nil
	}
	return func(into any) error { return o.Decode(into).Err() }
}

// bindings are the upstreams of the clients of one instance, by the names that its handler has for them. The clients
// live as long as the instance; a change of the manifest replaces their upstreams.
type bindings struct{ current atomic.Pointer[bound] }

// bound is the upstreams of one generation, and the interceptors around calls to them, by client.
type bound struct {
	to     map[string]*outgoing.Upstream
	around map[string]*route.Around // nil: no client has any
}

func (b *bindings) move(to map[string]*outgoing.Upstream, around map[string]*route.Around) {
	b.current.Store(&bound{to, around})
}

// boundClient is a client of a handler.
type boundClient struct {
	bindings *bindings
	name     string
}

// Call calls the upstream that the client is bound to when the call begins.
func (c boundClient) Call(ctx context.Context, method string, args, reply any) error {
	u, around, err := c.enter()
	if err != nil {
		return err
	}
	defer u.Release()
	if around == nil {
		return call(ctx, u, method, args, reply)
	}
	defer around.Release()
	return intercepted(ctx, around, u, method, args, reply)
}

// call calls an upstream.
func call(ctx context.Context, u *route.Successor, method string, args, reply any) error {
	var answered wire.Metadata
	err := u.Client.Call(ctx, u.Service, method, args, reply, metadataOptions(ctx, &answered)...)
	for into := registry.ReplyOf(ctx); len(answered) > 0; answered = answered[1:] {
		if key := answered[0][0]; travels(key) {
			into.Set(key, answered[0][1])
		}
	}
	return err
}

// metadataOptions returns the call options for the metadata that a handler set.
func metadataOptions(ctx context.Context, answered *wire.Metadata) []client.CallOption {
	pairs := registry.OutgoingMetadata(ctx)
	o := make([]client.CallOption, 0, len(pairs)+1)
	for _, pair := range pairs {
		if travels(pair[0]) {
			o = append(o, client.Metadata(pair[0], pair[1]))
		}
	}
	return append(o, client.ReplyMetadata(answered))
}

// travels reports whether handlers may set a metadata key: names of the protocol are reserved.
func travels(key string) bool {
	return key == wire.MetaAuth || !strings.HasPrefix(key, "__") && !strings.HasPrefix(key, "x-em-") && key != wire.MetaErrorEasymicro
}

// enter acquires the upstream and the interceptors around calls to it. If one of them is being retired, the bindings have its
// successor.
func (c boundClient) enter() (*route.Successor, *route.Around, error) {
	for {
		bound := c.bindings.current.Load()
		u, around := bound.to[c.name], bound.around[c.name]
		if u == nil {
			return nil, nil, c.unavailable("client %s has no upstream").WithAdvice("set services[].uses")
		}
		if around.Acquire() {
			if in := u.Enter(); in != nil {
				return in, around, nil
			}
			around.Release()
		}
		if c.bindings.current.Load() == bound {
			return nil, nil, c.unavailable("client %s is closed: the host is shutting down")
		}
	}
}

// unavailable returns the error of a call without an upstream. It is about the upstream, not about the call that is
// served.
func (c boundClient) unavailable(format string) *code.Error {
	return code.Remote(code.Errorf(code.Unavailable, format, c.name).WithReason(code.ReasonNoEndpoint))
}

// env is the registry.Env of an instance.
type env struct {
	log      *slog.Logger
	service  string
	place    string // of an interceptor
	bindings *bindings
}

func (e *env) Log() *slog.Logger {
	if e.place != "" {
		return e.log.With("around", e.place)
	}
	return e.log.With("service", e.service)
}

func (e *env) Service() string { return e.service }

func (e *env) Client(name string) registry.Client { return boundClient{e.bindings, name} }

const (
	readyFor  = time.Second     // an answer of a handler counts that long
	readyWait = 2 * time.Second // a handler that has not answered by then is not ready
)

var errNoAnswer = errors.New("the handler did not answer its readiness check")

// readiness caches whether a handler is ready. The handler is asked once at a time, however many callers wait.
type readiness struct {
	mu     sync.Mutex
	asked  chan struct{} // closed when the answer has come; nil before the first
	expiry time.Time     // of the answer; zero until it has come
	err    error
}

// ask returns nil when the service is ready. One without OnReady is, however busy the process.
func (r *readiness) ask(ctx context.Context, s *registry.Service) error {
	if !s.Probed() {
		return nil
	}
	r.mu.Lock()
	answered := r.asked
	if answered == nil || !r.expiry.IsZero() && time.Now().After(r.expiry) {
		answered = make(chan struct{})
		r.asked, r.expiry = answered, time.Time{}
		go r.answer(context.WithoutCancel(ctx), s, answered)
	}
	r.mu.Unlock()
	wait, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	select {
	case <-answered:
	case <-wait.Done():
		return errNoAnswer
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *readiness) answer(ctx context.Context, s *registry.Service, answered chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	err := s.Ready(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err, r.expiry = err, time.Now().Add(readyFor)
	close(answered)
}
