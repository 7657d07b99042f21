package host

import (
	"context"
	"slices"
	"time"
)

const (
	// closeTimeout bounds how long a handler may take to close.
	closeTimeout = 5 * time.Second
	// lastMoment is what closing may take behind the end of the grace period.
	lastMoment = 500 * time.Millisecond
	// retireTimeout bounds how long an instance that was taken out of service waits for its last call.
	retireTimeout = 5 * time.Minute
)

// Close releases a host that was opened and never run.
func (h *Host) Close() {
	h.stopApplying()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	h.finish(now, time.Now().Add(closeTimeout))
}

// finish waits for the last calls until ctx ends, cancels those that are left, and closes the handlers in reverse
// order, by a moment after until. It returns how many calls were left.
func (h *Host) finish(ctx context.Context, until time.Time) (abandoned int) {
	h.ended.Do(func() {
		var services []*service
		if g := h.current.Load(); g != nil {
			services = slices.Clone(g.services)
		}
		slices.Reverse(services)
		for _, s := range services {
			s.instance.retire()
		}
		for _, s := range services {
			s.instance.wait(ctx)
			abandoned += s.instance.inFlight()
		}
		abandoned += h.lastPassed(ctx)
		h.cut()
		closing, cancel := context.WithDeadline(context.Background(), until.Add(lastMoment))
		defer cancel()
		for _, s := range services {
			h.closeHandler(closing, s.instance)
		}
		if l := h.current.Load().way(); l != nil {
			l.shut(closing)
		}
		h.closeOutgoing(closing)
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
		h.tracing.Shutdown(closing)
		h.expiries.close()
		h.sampler.Close()
	})
	return abandoned
}

// outlast lets no more calls in and waits for the last one, but not for ever, nor longer than the host lives.
func (h *Host) outlast(u *users) {
	u.retire()
	ctx, cancel := context.WithTimeout(h.life, retireTimeout)
	defer cancel()
	u.wait(ctx)
}

// discard closes an instance that is out of service, after its last call. Unlike clients, which end with the host, its
// handler has its time to close even then.
func (h *Host) discard(inst *instance) {
	h.outlast(&inst.users)
	closing, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	h.closeHandler(closing, inst)
}

func (h *Host) closeHandler(ctx context.Context, inst *instance) {
	if err := inst.service.Close(ctx); err != nil {
		h.log.Warn("a handler was not closed cleanly", "service", inst.name, "error", err)
	}
}
