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
	"github.com/easymicro/easymicro/host/systemd"
)

// signals handles the signals of a process that runs a host.
type signals struct {
	ending, hangup, pipe chan os.Signal
	replace              chan os.Signal // requests for a hand-over, where there are such signals
	done                 chan struct{}
	waits                sync.WaitGroup
	atOnce               atomic.Pointer[func()] // called before ending without a drain
}

// newSignals starts receiving signals, SIGPIPE among them so that a closed pipe fails the screen's writes and does not kill
// the host.
func newSignals() *signals {
	s := &signals{
		ending: make(chan os.Signal, 1), hangup: make(chan os.Signal, 1), pipe: make(chan os.Signal, 1), done: make(chan struct{}),
		replace: make(chan os.Signal, 1),
	}
	notifyReplace(s.replace)
	signal.Notify(s.ending, os.Interrupt, syscall.SIGTERM)
	signal.Notify(s.hangup, syscall.SIGHUP)
	signal.Notify(s.pipe, syscall.SIGPIPE)
	return s
}

// drain returns a context that ends with parent and with SIGTERM or SIGINT. A second signal then ends the process.
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

// endTimeout bounds how long an immediate exit may take to write its log line, and then to die from the signal.
const endTimeout = 500 * time.Millisecond

// end kills the process with the signal, as if it were not handled. If the process survives, it exits with the code that a
// shell reports for the signal: a signal ignored at startup, such as SIGINT in a script's background jobs, is ignored
// again, and some systems cannot send signals.
func (s *signals) end(by os.Signal) {
	if hook := s.atOnce.Load(); hook != nil {
		done := make(chan struct{})
		go func() {
			defer close(done)
			(*hook)()
		}()
		select {
		case <-done:
		case <-time.After(endTimeout): // the log may block
		}
	}
	signal.Stop(s.ending)
	if self, err := os.FindProcess(os.Getpid()); err == nil && self.Signal(by) == nil {
		time.Sleep(endTimeout)
	}
	os.Exit(exitBySignal(by))
}

// exitBySignal returns the exit code that a shell reports for a process ended by a signal.
func exitBySignal(by os.Signal) int {
	if number, ok := by.(syscall.Signal); ok {
		return 128 + int(number)
	}
	return ExitFailed
}

// follow reloads the files of the host at each SIGHUP and hands it over to a program at each SIGUSR2, until stop is called.
func (s *signals) follow(ctx context.Context, h *host.Host, manager *systemd.Manager, program string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			select {
			case <-s.hangup:
				manager.Reloading()
				_, _ = h.Reload(ctx, host.SourceSignal, "SIGHUP") // reported by the host
				manager.Ready()
			case <-s.replace:
				wait.Go(func() { _ = h.HandOver(ctx, program) }) // the same
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

// stop restores the default behaviour of the signals.
func (s *signals) stop() {
	signal.Stop(s.ending)
	signal.Stop(s.hangup)
	signal.Stop(s.pipe)
	signal.Stop(s.replace)
	close(s.done)
	s.waits.Wait()
}
