package client

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// core is the part of a client that all other parts use.
type core struct {
	o       Options
	codec   wire.Codec
	handler wire.Handler // the result of Options.Wrap, or nil
	log     *slog.Logger
	began   time.Time
	hasher  hasher
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	resend  func(unread []*wire.Frame, forgotten int) // sends one-way requests elsewhere

	unhurried atomic.Bool // no call waits for a dial

	calls   atomic.Int64  // in flight or waiting to be sent
	shut    atomic.Bool   // new calls are refused
	drained chan struct{} // closed when shut is set and no calls are left
	drain   sync.Once

	done     chan struct{}   // closed by Close
	closing  context.Context //nolint:containedctx // when it ends, closing connections no longer waits for peers
	cutShort context.CancelFunc
	tasks
}

// now returns the nanoseconds since the client was created.
func (c *core) now() int64 { return int64(time.Since(c.began)) }

// upstream returns the name of a service in rules.
func (c *core) upstream(service string) string {
	if c.o.Upstream != "" {
		return c.o.Upstream
	}
	return service
}

// dialTimeout returns the timeout of a dial.
func (c *core) dialTimeout() time.Duration {
	if c.unhurried.Load() {
		return max(c.o.ConnectTimeout, handoverTimeout)
	}
	return c.o.ConnectTimeout
}

// leave removes a call from the count.
func (c *core) leave() {
	if c.calls.Add(-1) == 0 && c.shut.Load() {
		c.drain.Do(func() { close(c.drained) })
	}
}

// tasks are the goroutines of a client.
type tasks struct {
	over sync.WaitGroup

	spawning sync.Mutex // locked after all others
	stopped  bool       // stop was called
	jobs     int        // running
	noJobs   signal
}

// spawn runs f in a goroutine that Close waits for. It returns false, without running f, once the client is closed.
func (t *tasks) spawn(f func()) bool {
	t.spawning.Lock()
	defer t.spawning.Unlock()
	if t.stopped {
		return false
	}
	t.over.Go(f)
	return true
}

// spawnJob is like spawn, but Close keeps the connections open until f returns.
func (t *tasks) spawnJob(f func()) bool {
	t.spawning.Lock()
	defer t.spawning.Unlock()
	if t.stopped {
		return false
	}
	t.jobs++
	t.over.Go(func() {
		defer t.jobDone()
		f()
	})
	return true
}

func (t *tasks) jobDone() {
	t.spawning.Lock()
	defer t.spawning.Unlock()
	t.jobs--
	if t.jobs == 0 {
		t.noJobs.send()
	}
}

// jobsDone returns a channel that is closed when no job is left, nil if there is none.
func (t *tasks) jobsDone() <-chan struct{} {
	t.spawning.Lock()
	defer t.spawning.Unlock()
	if t.jobs == 0 {
		return nil
	}
	return t.noJobs.wait()
}

// stop makes spawn and spawnJob return false.
func (t *tasks) stop() {
	t.spawning.Lock()
	defer t.spawning.Unlock()
	t.stopped = true
}

// signal wakes the goroutines that wait for it. Callers of its methods must hold a lock.
type signal struct{ sent chan struct{} }

// wait returns a channel that is closed by the next send.
func (s *signal) wait() <-chan struct{} {
	if s.sent == nil {
		s.sent = make(chan struct{})
	}
	return s.sent
}

func (s *signal) send() {
	if s.sent != nil {
		close(s.sent)
		s.sent = nil
	}
}
