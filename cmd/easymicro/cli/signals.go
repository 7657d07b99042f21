package cli

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/easymicro/easymicro/host"
)

// signals are what a running host is told by signals.
type signals struct {
	ending, hangup, pipe chan os.Signal
	done                 chan struct{}
	waits                sync.WaitGroup
	atOnce               atomic.Pointer[func()] // is told of an end without a drain, if there is something to tell
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
// does where nobody takes it, once it was said what that abandons.
func (s *signals) drain(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	s.waits.Go(func() {
		select {
		case <-s.ending:
			cancel()
		case <-s.done:
			return
		}
		select {
		case second := <-s.ending:
			s.end(second)
		case <-s.done:
		}
	})
	return ctx, cancel
}

// end ends the process by a signal.
func (s *signals) end(by os.Signal) {
	if tell := s.atOnce.Load(); tell != nil {
		(*tell)()
	}
	signal.Stop(s.ending)
	self, err := os.FindProcess(os.Getpid())
	if err == nil && self.Signal(by) != nil {
		_ = self.Kill() // where a process cannot send itself signals
	}
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
