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
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
)

// An instance is an open handler. Generations that do not change it share it; it is closed after its last call when a
// newer one has taken its place.
type instance struct {
	name    string // of the service it was opened for
	entry   *registry.Entry
	service *registry.Service
	ready   readiness
	options config.RawOptions
	clients *bindings
	refCount
}

// optionsDecoder is nil for options that are not written, so that the handler's defaults hold.
func optionsDecoder(o config.RawOptions) func(any) error {
	if o.IsZero() {
		return nil
	}
	return func(into any) error { return o.Decode(into).Err() }
}

// bindings are the upstreams that the clients of one instance lead to, by the handler's names for them. An instance keeps
// its clients for its life; a change of the manifest moves what they lead to.
type bindings struct {
	to atomic.Pointer[map[string]*upstream]
}

func (b *bindings) move(to map[string]*upstream) { b.to.Store(&to) }

// boundClient is one of them.
type boundClient struct {
	bindings *bindings
	name     string
}

// Call calls the upstream that the manifest binds the client to when the call begins.
func (c boundClient) Call(ctx context.Context, method string, args, reply any) error {
	u, err := c.enter()
	if err != nil {
		return err
	}
	defer u.release()
	var answered wire.Metadata
	err = u.client.Call(ctx, u.spec.config.Service, method, args, reply, metadataOptions(ctx, &answered)...)
	for into := registry.ReplyOf(ctx); len(answered) > 0; answered = answered[1:] {
		if key := answered[0][0]; travels(key) {
			into.Set(key, answered[0][1])
		}
	}
	return err
}

// metadataOptions are the metadata that a handler gave its call.
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

// travels tells whether metadata is of handlers: names of the protocol are the client's own.
func travels(key string) bool {
	return key == wire.MetaAuth || !strings.HasPrefix(key, "__") && !strings.HasPrefix(key, "x-em-") && key != wire.MetaErrorEasymicro
}

// enter finds the upstream and holds it. One that is being retired has a successor, which is looked up.
func (c boundClient) enter() (*upstream, error) {
	for {
		to := c.bindings.to.Load()
		u := (*to)[c.name]
		if u == nil {
			return nil, c.unavailable("client %s is bound to no upstream").WithAdvice("say services[].uses")
		}
		if u.acquire() {
			return u, nil
		}
		if c.bindings.to.Load() == to {
			return nil, c.unavailable("client %s is closed: the host is ending")
		}
	}
}

// unavailable is the error of a call that goes nowhere. It speaks of the upstream, not of the call that is served.
func (c boundClient) unavailable(format string) *code.Error {
	return code.Remote(code.Errorf(code.Unavailable, format, c.name).WithReason(code.ReasonNoEndpoint))
}

// env is what an instance gets from its host.
type env struct {
	log      *slog.Logger
	service  string
	bindings *bindings
}

func (e *env) Log() *slog.Logger { return e.log.With("service", e.service) }

func (e *env) Service() string { return e.service }

func (e *env) Client(name string) registry.Client { return boundClient{e.bindings, name} }

const (
	readyFor  = time.Second     // an answer of a handler counts that long
	readyWait = 2 * time.Second // a handler that has not answered by then is not ready
)

var errNoAnswer = errors.New("the handler does not say whether it is ready")

// readiness is what a handler said last of its being ready. It is asked once at a time, however many want to know.
type readiness struct {
	mu     sync.Mutex
	asked  chan struct{} // closed when the answer has come; nil before the first
	expiry time.Time     // of the answer; zero until it has come
	err    error
}

// ask is nil when the service is ready.
func (r *readiness) ask(ctx context.Context, s *registry.Service) error {
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
