package host

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
)

// openTimeout bounds how long a handler may take to open or to take changed options.
const openTimeout = 10 * time.Second

// An instance is an open handler. Generations that do not change it share it; it is closed after its last call when a
// newer one has taken its place.
type instance struct {
	name    string // of the service it was opened for
	entry   *registry.Entry
	service *registry.Service
	ready   readiness
	options config.RawOptions
	clients *bindings
	users
}

func (h *Host) openInstance(ctx context.Context, cfg *config.Service, entry *registry.Entry, to map[string]*upstream) (*instance, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	bound := new(bindings)
	bound.move(to)
	service, err := entry.Open(ctx, optionsDecoder(cfg.Options), &env{log: h.log, service: cfg.Name, bindings: bound})
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", cfg.Name, err)
	}
	return &instance{name: cfg.Name, entry: entry, service: service, options: cfg.Options, clients: bound, users: newUsers()}, nil
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
	err = u.client.Call(ctx, u.made.config.Service, method, args, reply, metadataOptions(ctx, &answered)...)
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
