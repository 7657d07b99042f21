package cli

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

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

// lastWords is how long a process that ends at once may take to say so, and then to die of the signal.
const lastWords = 500 * time.Millisecond

// end ends the process by a signal, as if nobody took it. Where that does not end it, it exits as a shell would say that
// it did: signals that were ignored when the process began, as SIGINT is by the background jobs of a script, are ignored
// again by now, and some systems cannot send them.
func (s *signals) end(by os.Signal) {
	if tell := s.atOnce.Load(); tell != nil {
		told := make(chan struct{})
		go func() {
			defer close(told)
			(*tell)()
		}()
		select {
		case <-told:
		case <-time.After(lastWords): // nobody reads what it says
		}
	}
	signal.Stop(s.ending)
	if self, err := os.FindProcess(os.Getpid()); err == nil && self.Signal(by) == nil {
		time.Sleep(lastWords)
	}
	os.Exit(exitBySignal(by))
}

// exitBySignal is what a shell says of a process that a signal ended.
func exitBySignal(by os.Signal) int {
	if number, ok := by.(syscall.Signal); ok {
		return 128 + int(number)
	}
	return ExitFailed
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
