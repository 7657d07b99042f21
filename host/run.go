package host

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// healthDrainDelay is the default of drainDelay for a host that a load balancer watches.
const healthDrainDelay = 5 * time.Second

// Run listens, serves and follows the files until ctx ends, then drains: not ready, wait drainDelay, stop accepting,
// finish calls up to gracePeriod, cancel the rest, close handlers in reverse order. It returns the error that kept it
// from listening or from going on, or nil. A host runs once.
func (h *Host) Run(ctx context.Context) error {
	if err := h.listen(ctx); err != nil {
		h.Close()
		return err
	}
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	var watched sync.WaitGroup
	watched.Go(func() { h.follow(watching) })
	h.log.Info("listening", "host", h.name, "listeners", h.Listening(), "admin", h.AdminURL())
	if h.onReady != nil {
		h.onReady(h)
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-h.failed:
		h.log.Error("the host cannot go on", "error", err)
	}
	begin := time.Now()
	h.stopApplying()
	stopWatching()
	h.drain(begin)
	watched.Wait()
	return err
}

// listen opens every address and starts to serve.
func (h *Host) listen(ctx context.Context) error {
	if err := h.requireClusters(ctx); err != nil {
		return err
	}
	h.applying.Lock()
	defer h.applying.Unlock()
	if l := h.current.Load().way(); l != nil {
		l.await(ctx)
	}
	if err := h.listeners.Open(ctx, h.life, h.Set()); err != nil {
		return err
	}
	h.publish()
	return nil
}

// stopApplying has the host change no more. A change that is being made is given up.
func (h *Host) stopApplying() {
	h.draining.Store(true)
	h.settled()
	h.applying.Lock()
	h.applying.Unlock() //nolint:gocritic,staticcheck // it is only waited for
}

// drain ends the serving as wire.md's peers expect it.
func (h *Host) drain(begin time.Time) {
	delay, grace := h.drainDelay(), h.gracePeriod()
	until := begin.Add(grace)
	h.log.Info("draining", "drain_delay", delay, "grace_period", grace, "in_flight", h.InFlight())
	deadline, cancel := context.WithDeadline(h.life, until)
	defer cancel()
	h.withdraw()
	pause(deadline, delay)
	h.listeners.Drain(deadline)
	abandoned := h.finish(deadline, until)
	level := slog.LevelInfo
	if abandoned > 0 {
		level = slog.LevelWarn
	}
	h.log.Log(context.Background(), level, "stopped", "took", time.Since(begin).Round(time.Millisecond), "abandoned_calls", abandoned)
}

// pause waits, but no longer than ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (h *Host) drainDelay() time.Duration {
	m := h.Set().Manifest
	switch {
	case m.Host.Shutdown.DrainDelay != nil:
		return m.Host.Shutdown.DrainDelay.Std()
	case h.publishes():
		return publishedDrainDelay
	case m.Health.Address != "":
		return healthDrainDelay
	}
	return 0
}

func (h *Host) gracePeriod() time.Duration { return h.Set().Manifest.Host.Shutdown.GracePeriod.Std() }

// InFlight returns the number of calls that run: those of services, and those that a gateway passes on.
func (h *Host) InFlight() int {
	n := 0
	for _, s := range h.current.Load().services {
		n += s.instance.inFlight()
	}
	if l := h.current.Load().way(); l != nil {
		n += l.inFlight()
	}
	return n
}
