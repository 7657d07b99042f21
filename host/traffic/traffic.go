// Package traffic counts and times the calls of a method, second by second, and keeps the last five minutes.
package traffic

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// Window is how long a Method keeps the counts of calls.
const Window = 5 * time.Minute

// Method counts the calls of one method. It is safe for concurrent use.
type Method struct {
	begin  time.Time
	second atomic.Uint32 // since begin, in which the live counts are made; changed under mu
	live   atomic.Pointer[shards]

	mu      sync.Mutex
	history *history // nil until the first call
}

// Named is a Method with its name.
type Named struct {
	*Method
	Name string
}

// New returns a Method without calls.
func New() *Method { return &Method{begin: time.Now()} }

// Observe counts a call that ended at end; took is its duration. refused says that a rule of this host refused or ended the call, or
// that the host refused it before the rules. Observe does not allocate after the first call with a status code.
func (m *Method) Observe(at Shard, end time.Time, took time.Duration, c code.Code, refused bool) {
	live := m.live.Load()
	if live == nil {
		live = m.start()
	}
	if now := m.secondOf(end); now > m.second.Load() && m.mu.TryLock() { // else another call does it
		m.advance(now)
		m.mu.Unlock()
	}
	live.observe(at, took, c, refused)
}

// start makes room for counts: methods that are never called need none.
func (m *Method) start() *shards {
	m.mu.Lock()
	defer m.mu.Unlock()
	if live := m.live.Load(); live != nil {
		return live
	}
	live := make(shards, Shards())
	m.history = new(history)
	m.live.Store(&live)
	return &live
}

// secondOf returns the second of a time, by the monotonic clock.
func (m *Method) secondOf(t time.Time) uint32 { return uint32(max(t.Sub(m.begin), 0) / time.Second) }

// advance keeps the live counts as those of the second that has ended, and begins another one. The caller holds m.mu.
func (m *Method) advance(now uint32) {
	if ended := m.second.Load(); now > ended {
		m.history.keep(m.live.Load().sum(), ended, now)
		m.second.Store(now)
	}
}

// Totals returns the calls since the Method was made. The difference of two Totals counts the calls between them, to the call.
func (m *Method) Totals() Sum {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.history == nil {
		return Sum{}
	}
	return m.history.totals(m.live.Load().sum())
}

// Between returns the calls that ended from the second of from up to the second of to, which it excludes. Seconds count from the
// time the Method was made; those before the Window have no calls.
func (m *Method) Between(from, to time.Time) Sum {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.history == nil {
		return Sum{}
	}
	return m.history.between(m.live.Load().sum(), m.second.Load(), m.secondOf(from), m.secondOf(to))
}

// Last returns the calls of the last d before now, at most the Window; the current second counts as a whole one.
func (m *Method) Last(d time.Duration, now time.Time) Sum {
	end := now.Add(time.Second)
	return m.Between(end.Add(-min(d, Window)), end)
}

// Failures returns how many of the calls since a time have failed, and how many could have: those that no rule refused or ended. It
// includes the whole second of that time.
func (m *Method) Failures(since time.Time) (failed, judged uint64) {
	s := m.Between(since, since.Add(Window))
	return s.Failed, s.Judged()
}

// Latency returns the durations of the calls in the last minute before now, to ten seconds.
func (m *Method) Latency(now time.Time) Latency {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.history == nil {
		return Latency{}
	}
	return m.history.latency(m.live.Load().sum(), m.second.Load(), m.secondOf(now))
}
