// Package host runs the services of a manifest: it opens their handlers, listens, guards every call by the rules in
// force, and follows the files while it runs.
//
// A host is one pointer to one generation. Every change (start, file, signal, admin) is loaded, checked and compiled
// in full before that pointer moves; calls in flight finish under the generation they began with.
package host

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/watch"
	"github.com/easymicro/easymicro/host/listen"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
)

// Source reads the set of a host anew, whenever a change was noticed or somebody asks.
type Source interface {
	// Load reads and decodes the whole set. The error is config.Problems when the files are wrong.
	Load(ctx context.Context) (*config.Set, error)
	// Hash is the content hash that the set would have, without decoding it.
	Hash() (string, error)
	// Dirs are the directories in which a change of the set shows.
	Dirs() []string
}

// Options are what a program tells a host. The zero value is a host with the compiled-in handlers, that logs nothing
// and never reloads.
type Options struct {
	Registry *registry.Registry    // nil: registry.Default()
	Logger   *slog.Logger          // nil discards
	Log      *telemetry.LogControl // follows telemetry.logs when set
	Source   Source                // nil: no reloads but by Apply
	Version  string

	// OnReady is called when the host serves, OnRevision after every attempt to change what runs. Both may be nil and
	// must not block for long.
	OnReady    func(*Host)
	OnRevision func(Revision)
}

// Host is a running or ready to run host. Its methods may be called concurrently.
type Host struct {
	name     string
	version  string
	registry *registry.Registry
	log      *slog.Logger
	logLevel *telemetry.LogControl
	source   Source
	metrics  *telemetry.Metrics
	sampler  *telemetry.LogSampler
	budget   *wire.Budget // of all listeners

	listeners *listen.Listeners
	tracing   *telemetry.Tracing
	started   time.Time
	onReady   func(*Host)
	onChange  func(Revision)

	current  atomic.Pointer[generation] // the only thing in a host that changes what calls meet
	draining atomic.Bool
	refusals refusals
	hints    hints
	expiries expiries
	history  history
	watcher  *watch.Watcher // nil without a source
	first    *config.Set    // what restart-class settings were started with

	life     context.Context //nolint:containedctx // its end cancels the calls that are left, of whatever generation
	cut      context.CancelFunc
	changing context.Context //nolint:containedctx // its end gives up the change that is being made, and those to come
	settled  context.CancelFunc
	ended    sync.Once
	retiring sync.WaitGroup // instances and listeners that finish their last calls

	endpoints *client.Pool // of upstreams, for the clients and the rules of all generations
	reloading sync.Mutex   // what is read from the source is applied before it is read again
	lookAgain time.Duration

	// What follows is written under applying, which holds back all but one change at a time, and read without.
	applying sync.Mutex
	failed   chan error // what keeps the host from going on
}

// Open builds everything that set asks for and listens on nothing yet. The error is config.Problems when the set does
// not fit this binary.
func Open(ctx context.Context, set *config.Set, o Options) (*Host, error) {
	h := &Host{
		name:     hostName(set),
		version:  o.Version,
		registry: o.Registry,
		log:      o.Logger,
		logLevel: o.Log,
		source:   o.Source,
		started:  time.Now(),
		onReady:  o.OnReady,
		onChange: o.OnRevision,
		first:    set,
		failed:   make(chan error, 1),

		lookAgain: lookAgain,
		budget:    wire.NewBudget(0, 0),
	}
	h.life, h.cut = context.WithCancel(context.WithoutCancel(ctx))
	h.changing, h.settled = context.WithCancel(h.life)
	if h.registry == nil {
		h.registry = registry.Default()
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.endpoints = client.NewPool(h.log)
	h.metrics = telemetry.New(telemetry.Options{Build: telemetry.Build{Version: o.Version, GoVersion: runtime.Version()}})
	h.metrics.SetSource(h.emit)
	h.sampler = telemetry.NewLogSampler(h.log, 0)
	h.listeners = listen.New(listen.Options{
		Host: h.name, Log: h.log, Sampler: h.sampler, Metrics: h.metrics, Budget: h.budget,
		Calls: h, Gateway: h.gateway, Failed: h.fail,
		Admin:  func() http.Handler { return h.current.Load().admin },
		Health: func() http.Handler { return h.current.Load().health },
	})
	h.expiries.tell = h.expires
	h.tracing = telemetry.NewTracing(telemetry.TracingOptions{
		Host: h.name, Version: o.Version, Metrics: h.metrics, Log: h.log, Sampler: h.sampler,
	})
	h.watcher = h.newWatcher()
	if _, err := h.apply(ctx, set, change{source: SourceStart}); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// Name is the host's name.
func (h *Host) Name() string { return h.name }

// Addr returns where the listener of a name is bound, and nil when it is not.
func (h *Host) Addr(listener string) net.Addr { return h.listeners.Addr(listener) }

// AdminAddr returns where the admin listener is bound, and nil when it is off.
func (h *Host) AdminAddr() net.Addr { return h.listeners.AdminAddr() }

// HealthAddr returns where the health listener is bound, and nil when it is off.
func (h *Host) HealthAddr() net.Addr { return h.listeners.HealthAddr() }

// AdminURL returns where operators reach the host; empty when the admin listener is off.
func (h *Host) AdminURL() string {
	addr := h.AdminAddr()
	switch {
	case addr == nil:
		return ""
	case addr.Network() == "unix":
		return "unix://" + addr.String()
	}
	return "http://" + addr.String()
}

// Listening describes the open listeners for people: "rpcx+http 127.0.0.1:8972 (this machine only)".
func (h *Host) Listening() []string { return h.listeners.Labels(h.Set().Manifest) }

// fail ends Run with an error.
func (h *Host) fail(err error) {
	select {
	case h.failed <- err:
	default:
	}
}

// Set is the set in force.
func (h *Host) Set() *config.Set { return h.current.Load().set }

func hostName(set *config.Set) string {
	if name := set.Manifest.Host.Name; name != "" {
		return name
	}
	if name, err := os.Hostname(); err == nil {
		return name
	}
	return "localhost"
}
