package host

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/gateway"
	"github.com/easymicro/easymicro/host/handover"
	"github.com/easymicro/easymicro/host/listen"
	"github.com/easymicro/easymicro/host/outgoing"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/host/traffic"
	"github.com/easymicro/easymicro/host/view"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
)

// Open builds everything that set asks for and listens on nothing yet. The error is config.Problems when the set does
// not fit this binary.
func Open(ctx context.Context, set *config.Set, o Options) (*Host, error) {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	d, err := openStateDir(set, o.Source, o.Logger, o.Predecessor)
	if err != nil {
		return nil, err
	}
	set = d.choose(set)
	h, err := open(ctx, set, o, d)
	for first := err; err != nil; {
		if set = d.afterFailure(set, err); set == nil {
			d.close()
			return nil, first
		}
		h, err = open(ctx, set, o, d)
	}
	return h, nil
}

// open makes a host with the generation of a set.
func open(ctx context.Context, set *config.Set, o Options, d *stateDir) (*Host, error) {
	h := newHost(ctx, set, o)
	h.applier.state = d
	d.attach(&h.applier.history, h.metrics)
	d.try(set)
	from := d.startTrigger(set)
	from.overrides = keptOverrides(d)
	_, err := h.applier.apply(ctx, set, from)
	if first := err; err != nil && from.overrides != nil {
		from.overrides = nil
		if _, err = h.applier.apply(ctx, set, from); err == nil {
			o.Logger.Error(overridesLost, "error", first)
		}
	}
	if err != nil {
		h.applier.state = nil // Close must not close it: the next host uses it
		h.Close()
		return nil, err
	}
	return h, nil
}

const overridesLost = "the overrides of the last run cannot be put in force again"

// keptOverrides returns how the overrides of the previous process are put in force again; nil: there are none.
func keptOverrides(d *stateDir) func(overlay) overlay {
	if d == nil {
		return nil
	}
	kept, err := d.store.Overrides()
	if err != nil {
		d.log.Error(overridesLost, "error", err)
	}
	if err != nil || len(kept) == 0 {
		return nil
	}
	return func(overlay) overlay { return kept }
}

// newHost returns a host without a generation.
func newHost(ctx context.Context, set *config.Set, o Options) *Host {
	c := &core{name: hostName(set), version: o.Version, log: o.Logger, budget: wire.NewBudget(0, 0), flows: traffic.NewSketch(), shadows: new(shadows)}
	c.life, c.cut = context.WithCancel(context.WithoutCancel(ctx))
	c.metrics = telemetry.New(telemetry.Options{Version: o.Version, Source: func(e *telemetry.Emitter) {
		if g := c.current.Load(); g != nil {
			view.Emit(g.view(), c.budget, e)
			if source := g.verifier().Source(); source != nil {
				e.KeysFetched(source.State().At)
			}
		}
	}})
	c.sampler = telemetry.NewLogSampler(c.log)
	c.tracing = telemetry.NewTracing(telemetry.TracingOptions{
		Host: c.name, Version: o.Version, Metrics: c.metrics, Log: c.log, Sampler: c.sampler,
	})
	h := &Host{core: c, heap: o.Heap, onReady: o.OnReady, failed: make(chan error, 1)}
	h.applier = &applier{core: c, registry: o.Registry, first: set, onAttempt: o.OnAttempt}
	h.applier.rollbacks = &rollbacks{applier: h.applier, source: o.Source}
	if o.Registry == nil {
		h.applier.registry = registry.Default()
	}
	h.applier.applyCtx, h.applier.cancelApply = context.WithCancel(c.life)
	h.reloads = newReloads(h.applier, o.Source)
	recorder := &recorder{core: c}
	h.calls = &calls{core: c, recorder: recorder}
	h.adminHost = &adminHost{core: c, started: time.Now(), applier: h.applier, reloads: h.reloads, recorder: recorder}
	h.adminHost.commands = &commands{reloads: h.reloads}
	h.applier.overrides = &overrides{commands: h.adminHost.commands}
	gateways := &gateways{core: c, calls: h.calls, admin: h.adminHost, pprof: set.Manifest.Admin.PProf}
	h.applier.rollbacks.gateway = func(g *generation) (*gateway.Gateway, error) { return gateways.newGateway(g, wire.Limits{}) }
	h.succession = &succession{
		applier: h.applier, before: o.Predecessor, systemd: o.Systemd, pid: os.Getpid(), done: make(chan *handover.Successor, 1),
	}
	h.listeners = listen.New(listen.Options{
		Host: c.name, Log: c.log, Sampler: c.sampler, Metrics: c.metrics, Budget: c.budget,
		Passed: h.succession.passed, Held: o.Predecessor != nil,
		Calls: h.calls, Gateway: gateways.gateway, Failed: h.fail,
		Admin:  func() http.Handler { return c.current.Load().admin },
		Health: func() http.Handler { return c.current.Load().health },
	})
	h.adminHost.listeners = h.listeners
	pool := client.NewPool(c.log)
	out := outgoing.Options{
		Host: c.name, Version: c.version, Log: c.log, Sampler: c.sampler, Metrics: c.metrics, Tracing: c.tracing,
		Guard: clientRules{core: c, pool: pool, recorder: recorder}, Timing: h.reloads.watchTiming, Addr: h.listeners.Addr,
		UpstreamsGone: h.applier.upstreamsGone, MethodsGone: h.applier.methodsGone,
	}
	h.clusters, h.upstreams, h.remotes = &outgoing.Clusters{Options: out}, &outgoing.Upstreams{Options: out}, &outgoing.Remotes{Options: out}
	h.drains = &drains{applier: h.applier, publish: func(g *generation) { h.clusters.Publish(c.life, &g.out) }}
	h.adminHost.drains = h.drains
	h.succession.listeners, h.succession.drains = h.listeners, h.drains
	h.applier.rollbacks.hurry = h.succession.interrupt
	h.services = &services{core: c, registry: h.applier.registry, methodsGone: h.applier.methodsGone, interceptorsGone: h.applier.interceptorsGone}
	h.rules = &rules{core: c, pool: pool}
	h.rules.expiries.report = h.rules.logExpiry
	settings := &settings{core: c, logLevel: o.Log, heap: o.Heap}
	keys := &keySources{core: c}
	h.applier.parts = []part{
		keys.plan,
		h.planClusters, h.planUpstreams, h.services.plan, h.rules.plan, h.planRemotes, gateways.plan, h.planListeners, settings.plan, h.planPublishing,
	}
	return h
}
