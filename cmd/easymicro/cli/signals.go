package cli

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/easymicro/easymicro/host"
)

// signals are what a running host is told by signals.
type signals struct {
	ending, hangup, pipe chan os.Signal
	done                 chan struct{}
	waits                sync.WaitGroup
}

// newSignals takes the signals from now on. A host does not die of a reader of its screen that went away: SIGPIPE makes
// writing fail instead.
func newSignals() *signals {
	s := &signals{
		ending: make(chan os.Signal, 1), hangup: make(chan os.Signal, 1), pipe: make(chan os.Signal, 1), done: make(chan struct{}),
	}
	signal.Notify(s.ending, os.Interrupt, syscall.SIGTERM)
	signal.Notify(s.hangup, syscall.SIGHUP)
	signal.Notify(s.pipe, syscall.SIGPIPE)
	return s
}

// drain is a context that ends with parent and with SIGTERM or SIGINT. A second signal then ends the process, as it
// does where nobody takes it.
func (s *signals) drain(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	s.waits.Go(func() {
		select {
		case <-s.ending:
			signal.Stop(s.ending)
			cancel()
		case <-s.done:
		}
	})
	return ctx, cancel
}

// reload makes the host read its files at each SIGHUP, until what it returns is called.
func (s *signals) reload(ctx context.Context, h *host.Host) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			select {
			case <-s.hangup:
				_, _ = h.Reload(ctx, host.SourceSignal, "SIGHUP") // told on the screen and in the log
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		wait.Wait()
	}
}

// stop gives the signals back.
func (s *signals) stop() {
	signal.Stop(s.ending)
	signal.Stop(s.hangup)
	signal.Stop(s.pipe)
	close(s.done)
	s.waits.Wait()
}
