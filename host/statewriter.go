package host

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/telemetry"
)

const (
	// stateWait is how long an edit waits until it is on disk.
	stateWait = 2 * time.Second
	// maxUnwritten bounds the writes that wait for a state directory that does not answer.
	maxUnwritten = 1000
)

var (
	errUnanswered = errors.New("the file system does not answer: writes are kept in memory until it does")
	errDropped    = errors.New("the file system does not answer, and too many writes wait for it")
)

// stateWriter writes to a state directory, one write after the other, beside those that ask for it.
type stateWriter struct {
	dir     string // as the manifest has it
	log     *slog.Logger
	metrics atomic.Pointer[telemetry.Metrics] // nil: there are none yet
	wait    time.Duration
	writes  chan *stateWrite
	behind  atomic.Bool   // a write is late: nobody waits for those after it
	begun   chan struct{} // closed once it may write; nobody waits for writes before
	quit    chan struct{} // closed to end it
	ended   chan struct{} // closed once the last write is done

	mu      sync.Mutex
	trouble string // why a write has failed since the last attempt; empty: none has
}

// stateWrite is one write.
type stateWrite struct {
	do    func() error
	done  chan error
	taken atomic.Bool // by the one that waits for it, or else by the writer
}

// newStateWriter returns a writer that ends with close. Unless it begins at once, it writes once begin was called.
func newStateWriter(dir string, log *slog.Logger, begins bool) *stateWriter {
	w := &stateWriter{
		dir: dir, log: log, wait: stateWait, writes: make(chan *stateWrite, maxUnwritten),
		begun: make(chan struct{}), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	if begins {
		w.begin()
	}
	go w.run()
	return w
}

func (w *stateWriter) begin() { close(w.begun) }

func (w *stateWriter) mayWrite() bool {
	select {
	case <-w.begun:
		return true
	default:
		return false
	}
}

func (w *stateWriter) run() {
	defer close(w.ended)
	select {
	case <-w.begun:
	case <-w.quit:
		return
	}
	for {
		select {
		case next := <-w.writes:
			w.write(next)
			continue
		default:
		}
		select {
		case next := <-w.writes:
			w.write(next)
		case <-w.quit:
			return
		}
	}
}

func (w *stateWriter) write(s *stateWrite) {
	err := s.do()
	late := s.taken.Swap(true)
	if len(w.writes) == 0 {
		w.behind.Store(false)
	}
	if late {
		w.wroteLate(err)
		return
	}
	s.done <- err
}

// do has f write after all writes before, and waits for it. An error is logged and counted. If it takes too long, the error is
// errUnanswered, and f is still called.
func (w *stateWriter) do(f func() error) error {
	err := w.ask(f)
	w.failed(err)
	return err
}

func (w *stateWriter) ask(f func() error) error {
	s := &stateWrite{do: f, done: make(chan error, 1)}
	waits := w.mayWrite()
	s.taken.Store(!waits)
	select {
	case <-w.quit:
		return nil
	default:
	}
	select {
	case w.writes <- s:
	default:
		return errDropped
	}
	if !waits {
		return nil
	}
	wait := w.wait
	if w.behind.Load() {
		wait = 0
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case err := <-s.done:
		return err
	case <-timer.C:
	}
	w.behind.Store(true)
	if s.taken.Swap(true) { // it was just done
		w.behind.Store(false)
		return <-s.done
	}
	return errUnanswered
}

// wroteLate follows a write that nobody waits for any more.
func (w *stateWriter) wroteLate(err error) {
	w.failed(err)
	if err == nil && !w.behind.Load() && w.warning() != nil {
		w.forgive()
		w.log.Info("host.state is written again", "dir", w.dir)
	}
}

func (w *stateWriter) failed(err error) {
	if err == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trouble = strings.TrimSpace(err.Error())
	w.log.Warn("host.state cannot be written: the host goes on, and may forget this revision at its next start", "dir", w.dir, "error", err)
	if m := w.metrics.Load(); m != nil {
		m.StateWriteFailed()
	}
}

// forgive has warning return nil until the next write fails, unless one is late.
func (w *stateWriter) forgive() {
	if w.behind.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trouble = ""
}

// warning returns why the state directory cannot be written; nil if it can.
func (w *stateWriter) warning() *config.Problem {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.trouble == "" {
		return nil
	}
	return &config.Problem{Path: "host.state.dir", Message: w.dir + " cannot be written: " + w.trouble, Warning: true}
}

// close ends the writer once all is written, and reports whether that was soon enough.
func (w *stateWriter) close() bool {
	close(w.quit)
	timer := time.NewTimer(w.wait)
	defer timer.Stop()
	select {
	case <-w.ended:
		return true
	case <-timer.C:
		return false
	}
}
