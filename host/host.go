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
	"slices"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/handover"
	"github.com/easymicro/easymicro/host/listen"
	"github.com/easymicro/easymicro/host/machine"
	"github.com/easymicro/easymicro/host/outgoing"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/host/systemd"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
)

// Options configure a host. The zero value is a host with the compiled-in handlers that logs nothing and never
// reloads.
type Options struct {
	Registry *registry.Registry    // nil: registry.Default()
	Logger   *slog.Logger          // nil discards
	Log      *telemetry.LogControl // follows telemetry.logs when set
	Heap     *machine.Heap         // follows host.memory when set, and is restored when the host ends
	Source   Source                // nil: no reloads but by Apply
	Version  string

	// Predecessor is the process that hands over to this one; nil: none does. Run serves on its sockets, tells it when the host is
	// ready, and publishes and writes to the state directory once it has stopped.
	Predecessor *handover.Predecessor

	Systemd *systemd.Manager // has the sockets of systemd:NAME, and is told of a hand-over; nil: there are none

	// OnReady is called when the host serves, OnAttempt after every attempt to change what runs. Both may be nil and
	// must not block for long.
	OnReady   func(*Host)
	OnAttempt func(Attempt)
}

// Host is a running or ready to run host. Its methods may be called concurrently.
type Host struct {
	*core
	heap    *machine.Heap
	onReady func(*Host)
	failed  chan error // ends Run
	ended   sync.Once

	adminHost *adminHost
	drains    *drains
	calls     *calls
	services  *services
	clusters  *outgoing.Clusters
	upstreams *outgoing.Upstreams
	remotes   *outgoing.Remotes
	rules     *rules
	listeners *listen.Listeners
	applier   *applier
	reloads   *reloads

	succession *succession
}

func (h *Host) planClusters(_ context.Context, prev, next *generation) (step, error) {
	return h.clusters.Plan(prev.connections(), &next.out)
}

func (h *Host) planUpstreams(_ context.Context, prev, next *generation) (step, error) {
	return h.upstreams.Plan(prev.connections(), &next.out)
}

func (h *Host) planRemotes(ctx context.Context, prev, next *generation) (step, error) {
	p, err := h.remotes.Plan(ctx, prev.connections(), &next.out)
	if next.out.Remote != nil {
		next.routes.Remote = route.NewRemote(next.set, next.policies, next.out.Remote.OtherHosts)
	}
	return p, err
}

func (h *Host) planListeners(ctx context.Context, _, next *generation) (step, error) {
	p, err := h.listeners.Plan(ctx, next.set)
	next.warnings = append(next.warnings, p.Warnings...)
	return p, err
}

// planPublishing has a generation published once its listeners are bound, unless the host is drained by command.
func (h *Host) planPublishing(_ context.Context, _, next *generation) (step, error) {
	return commitOnly(func(life context.Context) {
		if h.listeners.IsOpen() && h.drains.drained.Load() == nil {
			h.clusters.Publish(life, &next.out)
		}
	}), nil
}

// Handle serves one call under the generation in force when it arrives, as the listeners do.
func (h *Host) Handle(ctx context.Context, req, res *wire.Frame) error {
	return h.calls.Handle(ctx, req, res)
}

// Apply replaces what runs by next, or changes nothing. The error is config.Problems when next does not fit this
// host. Either way the attempt is recorded and returned. A host that is draining records nothing and returns
// ErrDraining.
func (h *Host) Apply(ctx context.Context, next *config.Set) (Attempt, error) {
	return h.applier.apply(ctx, next, trigger{source: SourceApply})
}

// Reload reads the set again and applies it. source is one of the Source constants; who is shown in the history. The
// error says why nothing changed; an unchanged set is no error.
func (h *Host) Reload(ctx context.Context, source, who string) (Attempt, error) {
	return h.reloads.reload(ctx, trigger{source: source, who: who})
}

// Name returns the name of the host.
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
	if h.Set().Manifest.Admin.TLS != nil {
		return "https://" + addr.String()
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

// Set returns the set in force.
func (h *Host) Set() *config.Set { return h.current.Load().set }

// lastMoment is how long closing may take after the end of the grace period.
const lastMoment = 500 * time.Millisecond

// noticeDelay is the default of drainDelay for a host that is published or has a health listener.
const noticeDelay = 5 * time.Second

// Run listens, serves and follows the files until ctx ends, then drains: not ready, wait drainDelay, stop accepting,
// finish calls up to gracePeriod, cancel the rest, close handlers in reverse order. After HandOver it drains too, without
// drainDelay. It returns the error that kept it from listening or ended it, or nil. A host runs once.
func (h *Host) Run(ctx context.Context) error {
	if err := h.listen(ctx); err != nil {
		h.Close()
		return err
	}
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	var watched sync.WaitGroup
	watched.Go(func() { h.reloads.follow(watching) })
	h.applier.locked(h.applier.state.serves)
	h.log.Info(LogListening, "host", h.name, "listeners", h.Listening(), "admin", h.AdminURL())
	if h.onReady != nil {
		h.onReady(h)
	}
	var err error
	var next *handover.Successor
	select {
	case <-ctx.Done():
	case next = <-h.succession.done:
	case err = <-h.failed:
		h.log.Error("host failed", "error", err)
	}
	begin := time.Now()
	h.applier.stop()
	stopWatching()
	h.drain(begin, next)
	watched.Wait()
	return err
}

// HandOver starts a program, which must run the same host, with the sockets of this one. Once the program is ready and has lived for
// a while, it accepts new connections, HandOver returns without waiting for the drain, and Run finishes the calls on open connections
// and returns. Until then, and if HandOver fails, this host keeps serving. HandOver logs its errors.
func (h *Host) HandOver(ctx context.Context, program string) error {
	return h.succession.handOver(ctx, program)
}

// listen binds every address and starts to serve.
func (h *Host) listen(ctx context.Context) error {
	if err := h.current.Load().out.AwaitRequired(ctx); err != nil {
		return err
	}
	h.applier.applying.Lock()
	defer h.applier.applying.Unlock()
	if l := h.current.Load().out.Remote; l != nil {
		l.Await(ctx)
	}
	if err := h.listeners.Open(ctx, h.life, h.Set()); err != nil {
		return err
	}
	if h.succession.takeOver(ctx) && h.drains.drained.Load() == nil {
		h.clusters.Publish(h.life, &h.current.Load().out)
	}
	h.succession.published()
	return nil
}

// drain withdraws the host, finishes its calls and closes it. next is the process that has taken over; nil: none has.
func (h *Host) drain(begin time.Time, next *handover.Successor) {
	delay, grace := h.drainDelay(), h.gracePeriod()
	if next != nil || h.succession.yields {
		delay = 0
	}
	until := begin.Add(grace)
	h.log.Info("draining", "drain_delay", delay, "grace_period", grace, "in_flight", h.InFlight())
	deadline, cancel := context.WithDeadline(h.life, until)
	defer cancel()
	if next != nil {
		var withdrawn sync.WaitGroup
		withdrawn.Go(func() { h.succession.withdraw(deadline, next) })
		h.listeners.DrainHandedOver(deadline)
		withdrawn.Wait()
	} else {
		_ = h.current.Load().out.Withdraw(h.life) // the error is logged already
		_ = pause(deadline, delay)
		h.listeners.Drain(deadline)
	}
	abandoned := h.finish(deadline, until)
	level := slog.LevelInfo
	if abandoned > 0 {
		level = slog.LevelWarn
	}
	h.log.Log(context.Background(), level, "stopped", "took", time.Since(begin).Round(time.Millisecond), "abandoned_calls", abandoned)
}

func (h *Host) drainDelay() time.Duration {
	m := h.Set().Manifest
	switch {
	case m.Host.Shutdown.DrainDelay != nil:
		return m.Host.Shutdown.DrainDelay.Std()
	case m.Health.Address != "", slices.ContainsFunc(h.current.Load().services, func(s *service) bool { return m.IsPublished(s.Config) }):
		return noticeDelay
	}
	return 0
}

func (h *Host) gracePeriod() time.Duration { return h.Set().Manifest.Host.Shutdown.GracePeriod.Std() }

// InFlight returns the number of calls in flight, forwarded ones included.
func (h *Host) InFlight() int {
	n := 0
	for _, s := range h.current.Load().services {
		n += s.instance.InFlight()
	}
	if l := h.current.Load().out.Remote; l != nil {
		n += l.InFlight()
	}
	return n
}

// Close releases a host that was opened and never run.
func (h *Host) Close() {
	h.applier.stop()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	h.finish(now, time.Now().Add(closeTimeout))
}

// finish waits for the last calls until ctx ends, cancels those that are left, and closes the handlers in reverse
// order, by a moment after until. It returns how many calls were left.
func (h *Host) finish(ctx context.Context, until time.Time) (abandoned int) {
	h.ended.Do(func() {
		var services []*service
		var remote *outgoing.RemoteClient
		g := h.current.Load()
		if g != nil {
			services, remote = slices.Clone(g.services), g.out.Remote
		}
		slices.Reverse(services)
		for _, s := range services {
			s.instance.Retire()
		}
		for _, s := range services {
			s.instance.Wait(ctx)
			abandoned += s.instance.InFlight()
		}
		if remote != nil {
			remote.Retire()
			remote.Wait(ctx)
			abandoned += remote.InFlight()
		}
		h.cut()
		closing, cancel := context.WithDeadline(context.Background(), until.Add(lastMoment))
		defer cancel()
		for _, s := range services {
			h.services.close(closing, s.instance)
		}
		if g != nil {
			for _, inst := range slices.Backward(g.interceptors.instances) {
				h.services.close(closing, inst)
			}
		}
		if remote != nil {
			remote.Close(closing)
		}
		if g != nil {
			h.upstreams.Close(closing, &g.out)
			g.out.CloseClusters()
		}
		h.listeners.Close(closing)
		retired := make(chan struct{})
		go func() {
			defer close(retired)
			h.retiring.Wait()
			h.listeners.Wait()
		}()
		select {
		case <-retired:
		case <-closing.Done():
		}
		h.applier.state.close()
		h.tracing.Shutdown(closing)
		h.rules.expiries.close()
		h.rules.cpu.Measure(false)
		h.sampler.Close()
		h.heap.Restore()
	})
	return abandoned
}

// Services returns what a caller needs to know of each service.
func (h *Host) Services() []admin.Service {
	list, _ := h.adminHost.Services(context.Background())
	return list
}

// HTTPURL returns the URL of the first listener for HTTP over TCP, without a path; empty when there is none.
func (h *Host) HTTPURL() string { return h.adminHost.httpURL() }

// Remote describes the services of other hosts to which the gateway of a host forwards.
type Remote struct {
	Etcd     string   // the cluster of discovery that knows the services
	Services []string // those that it knows now and that may be reached, sorted
	Err      error    // of the last update of discovery: the services may be outdated
}

// Remote returns the services of other hosts to which the gateway forwards; nil when it forwards to none.
func (h *Host) Remote() *Remote {
	r := h.current.Load().routes.Remote
	if r == nil {
		return nil
	}
	return &Remote{Etcd: r.Cluster, Services: r.All(), Err: r.Err()}
}
