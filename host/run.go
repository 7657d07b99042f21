package host

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
)

// healthDrainDelay is the default of drainDelay for a host that a load balancer watches.
const healthDrainDelay = 5 * time.Second

// Run listens, serves and follows the files until ctx ends, then drains: not ready, wait drainDelay, stop accepting,
// finish calls up to gracePeriod, cancel the rest, close handlers in reverse order. It returns the error that kept it
// from listening, or nil. A host runs once.
func (h *Host) Run(ctx context.Context) error {
	cut, stopCalls := context.WithCancel(context.WithoutCancel(ctx))
	defer stopCalls()
	defer h.floods.Close()
	defer h.closeAll()

	failed := make(chan error, 8)
	if err := h.listen(ctx, cut, failed); err != nil {
		return err
	}
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		h.follow(watching)
	}()
	h.log.Info("listening", "host", h.name, "listeners", h.Listening(), "admin", h.AdminURL())
	if h.onReady != nil {
		h.onReady(h)
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		h.log.Error("the host cannot go on", "error", err)
	}
	stopWatching()
	<-watched
	h.drain(cut)
	return err
}

// listen opens every address and starts to serve.
func (h *Host) listen(ctx, cut context.Context, failed chan error) error {
	h.applying.Lock()
	defer h.applying.Unlock()
	h.running, h.failed = cut, failed
	plan, err := h.planStages(ctx, h.current.Load().set)
	if err == nil {
		err = h.startOperators(ctx)
	}
	if err != nil {
		if plan != nil {
			plan.abandon()
		}
		h.stopOperators(context.Background())
		h.running = nil
		return err
	}
	plan.commit()
	return nil
}

func (h *Host) startStage(st *stage) {
	st.start(h.running)
	failed := h.failed
	h.retiring.Go(func() {
		st.done.Wait()
		select {
		case err := <-st.failed:
			select {
			case failed <- err:
			default:
			}
		default:
		}
	})
}

// operators is a listener for people and their tools: admin or health.
type operators struct {
	server *http.Server
	socket *socket
	done   chan struct{}
}

func (h *Host) startOperators(ctx context.Context) error {
	m := h.current.Load().set.Manifest
	if m.Admin.Address != "" {
		var err error
		if h.admin, err = h.serveOperators(ctx, "admin.address", m.Admin.Address, h.adminHandler(m)); err != nil {
			return err
		}
	}
	if m.Health.Address != "" {
		var err error
		handler := admin.HealthHandler(h.api(), h.adminOptions(m))
		if h.health, err = h.serveOperators(ctx, "health.address", m.Health.Address, handler); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) serveOperators(ctx context.Context, field string, address config.Address, handler http.Handler) (*operators, error) {
	s, err := bind(ctx, h.current.Load().set, field, address)
	if err != nil {
		return nil, err
	}
	o := &operators{server: admin.NewServer(handler, h.log), socket: s, done: make(chan struct{})}
	go func() {
		defer close(o.done)
		if err := o.server.Serve(s.ln); !errors.Is(err, http.ErrServerClosed) {
			h.log.Error("the listener of "+field+" failed", "error", err)
		}
	}()
	return o, nil
}

func (o *operators) stop(ctx context.Context) {
	if o == nil {
		return
	}
	if o.server.Shutdown(ctx) != nil {
		_ = o.server.Close()
	}
	<-o.done
}

func (h *Host) stopOperators(ctx context.Context) {
	h.admin.stop(ctx)
	h.health.stop(ctx)
}

// drain ends the serving as wire.md's peers expect it.
func (h *Host) drain(cut context.Context) {
	begin := time.Now()
	h.draining.Store(true)
	h.applying.Lock()
	stages := make([]*stage, 0, len(h.stages))
	for _, st := range h.stages {
		stages = append(stages, st)
	}
	h.applying.Unlock()

	delay, grace := h.drainDelay(), h.gracePeriod()
	h.log.Info("draining", "drain_delay", delay, "grace_period", grace, "in_flight", h.inFlight())
	deadline, cancel := context.WithDeadline(cut, begin.Add(grace))
	defer cancel()
	select {
	case <-time.After(min(delay, grace)):
	case <-deadline.Done():
	}
	done := make(chan struct{})
	for _, st := range stages {
		go func() {
			defer func() { done <- struct{}{} }()
			st.drain(deadline, false)
		}()
	}
	for range stages {
		<-done
	}
	h.log.Info("stopped", "took", time.Since(begin).Round(time.Millisecond), "abandoned_calls", h.inFlight())
	h.stopOperators(deadline)
}

func (h *Host) drainDelay() time.Duration {
	m := h.current.Load().set.Manifest
	switch {
	case m.Host.Shutdown.DrainDelay != nil:
		return m.Host.Shutdown.DrainDelay.Std()
	case m.Health.Address != "":
		return healthDrainDelay
	}
	return 0
}

func (h *Host) gracePeriod() time.Duration {
	return h.current.Load().set.Manifest.Host.Shutdown.GracePeriod.Std()
}

func (h *Host) inFlight() int {
	n := 0
	for _, s := range h.current.Load().services {
		n += s.instance.inFlight()
	}
	return n
}

// closeTimeout bounds how long handlers may take to close once the host is done.
const closeTimeout = 5 * time.Second

// closeAll closes the handlers in reverse order and waits for what an earlier change left behind.
func (h *Host) closeAll() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	services := slices.Clone(h.current.Load().services)
	slices.Reverse(services)
	for _, s := range services {
		if err := s.instance.retire(ctx); err != nil {
			h.log.Warn("a handler was not closed cleanly", "service", s.config.Name, "error", err)
		}
	}
	h.retiring.Wait()
}

// Close releases a host that was opened and never run.
func (h *Host) Close() {
	h.closeAll()
	h.floods.Close()
}

// Addr is where the listener of a name is bound, and nil when it is not.
func (h *Host) Addr(listener string) net.Addr {
	h.applying.Lock()
	defer h.applying.Unlock()
	if st, ok := h.stages[listener]; ok {
		return st.socket.addr()
	}
	return nil
}

// AdminAddr is where the admin listener is bound, and nil when it is off.
func (h *Host) AdminAddr() net.Addr {
	if h.admin == nil {
		return nil
	}
	return h.admin.socket.addr()
}

// AdminURL is where the operators find the host; empty when the admin listener is off.
func (h *Host) AdminURL() string {
	addr := h.AdminAddr()
	if addr == nil {
		return ""
	}
	if addr.Network() == "unix" {
		return "unix://" + addr.String()
	}
	return "http://" + addr.String()
}

// Listening is what people are told of the listeners: "rpcx+http 127.0.0.1:8972 (this machine only)".
func (h *Host) Listening() []string {
	h.applying.Lock()
	defer h.applying.Unlock()
	var labels []string
	for _, l := range h.current.Load().set.Manifest.Listeners {
		if st, ok := h.stages[l.Name]; ok {
			labels = append(labels, st.label())
		}
	}
	return labels
}
