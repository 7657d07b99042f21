// Package limit keeps the state machines of rules: rate limiters, semaphores, circuit breakers, outlier detection and
// retry budgets. They know numbers and durations, but no rules, configuration or calls.
//
// What changes state on its own, such as a breaker, reports each transition as an Event, outside its locks and in order:
// callers of the methods that can cause one call Notify once they hold no lock themselves.
package limit

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// Other is the key that many share once there are too many for each to have state of its own.
const Other = "_OTHER"

// Counter counts decisions.
type Counter struct {
	Allow, Reject, Wait, Shadow atomic.Uint64
}

// CountRefusal counts a rejection, one in shadow unless it is enforced, and returns enforced.
func (n *Counter) CountRefusal(enforced bool) bool {
	if enforced {
		n.Reject.Add(1)
	} else {
		n.Shadow.Add(1)
	}
	return enforced
}

// Origin names the rule and the host of a refusal.
type Origin struct {
	Rule string // name@rN
	Host string
}

// Refuse returns the error of a refusal.
func (o *Origin) Refuse(c code.Code, reason, what string, retryAfter time.Duration) *code.Error {
	return code.Refuse(c, reason, what, o.Rule, o.Host, RoundUp(retryAfter))
}

// RefuseOpen returns the error of an open breaker. of says for what it is open, unless that is the call.
func (o *Origin) RefuseOpen(b *Breaker, of string, left time.Duration) error {
	what := "circuit breaker open" + of
	if h := b.Held(); h != nil && h.Open {
		what += " (by an operator)"
		left = min(left, b.settings.Load().OpenTimeout) // it may be closed before the end
	}
	return o.Refuse(code.Unavailable, code.ReasonBreakerOpen, what, left)
}

// RefuseEnded returns the error of a call that ended while it waited.
func (o *Origin) RefuseEnded(ctx context.Context, what string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return o.Refuse(code.DeadlineExceeded, code.ReasonTimeout, "deadline passed while "+what, 0)
	}
	return o.Refuse(code.Cancelled, code.ReasonCancelled, "cancelled while "+what, 0)
}

// RoundUp rounds up to whole milliseconds, the unit in which retry delays are sent: a retry that comes too early is refused again.
func RoundUp(d time.Duration) time.Duration {
	switch {
	case d <= 0:
		return 0
	case d > math.MaxInt64-time.Millisecond:
		return d
	}
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}

// describe returns the code of an error and its text, shortened.
func describe(err error) string {
	if err == nil {
		return "a slow call"
	}
	e := code.From(err)
	text := code.Clip(strings.TrimPrefix(e.Message, e.Code.String()+": "), 200) // refusals begin with it
	if e.Code == code.Unknown {
		return text
	}
	return e.Code.String() + ": " + text
}

// short formats a duration without trailing zeros: 1m, not 1m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Event is a transition of a breaker, of an endpoint under outlier detection, or of a keyed limiter.
type Event struct {
	Address  string // of the endpoint
	From, To string
	Cause    string
	At       time.Time
}

// notifier hands events to a function, outside all locks and in order.
type notifier struct {
	notify     func(Event)
	dirty      atomic.Bool // events are pending
	mu         sync.Mutex  // taken inside other locks, never around them
	pending    []Event
	delivering bool
}

// add queues an event for Notify.
func (n *notifier) add(e Event) {
	n.mu.Lock()
	n.pending = append(n.pending, e)
	n.mu.Unlock()
	n.dirty.Store(true)
}

// Notify delivers the pending events. The caller must hold no lock of this package.
func (n *notifier) Notify() {
	if !n.dirty.Load() {
		return
	}
	for {
		n.mu.Lock()
		if n.delivering || len(n.pending) == 0 {
			n.mu.Unlock()
			return
		}
		batch := n.pending
		n.pending, n.delivering = nil, true
		n.dirty.Store(false)
		n.mu.Unlock()
		for _, e := range batch {
			n.notify(e)
		}
		n.mu.Lock()
		n.delivering = false
		n.mu.Unlock()
	}
}

// Deadline is the time by which a call must end, and its origin.
type Deadline struct {
	At     time.Time // zero: never
	ByRule bool      // a rule's timeout set it
	Within bool      // a rule of this host set it for the call within which this one is made
}

// Left returns the time until the deadline.
func (d *Deadline) Left() time.Duration {
	if d.At.IsZero() {
		return math.MaxInt64
	}
	return max(time.Until(d.At), 0)
}

// Passed reports whether the deadline has passed.
func (d *Deadline) Passed() bool { return !d.At.IsZero() && !time.Now().Before(d.At) }

// ByCaller reports whether the caller set the deadline, and no rule of this host.
func (d *Deadline) ByCaller() bool { return !d.ByRule && !d.Within && !d.At.IsZero() }

// ProbeTime returns how long a probe through a breaker may take, 0 without a deadline, and the outcome of one that takes
// longer: a failure, or none if the caller set the deadline.
func (d *Deadline) ProbeTime() (left time.Duration, outcome error) {
	switch {
	case d.At.IsZero():
		return 0, ErrProbeTimeout
	case d.ByCaller():
		return max(d.Left(), 1), ErrExcluded
	}
	return max(d.Left(), 1), ErrProbeTimeout
}

// deadlineSlack is the time before a deadline in which a timeout counts as caused by it. Deadlines are sent in whole
// milliseconds: a peer that keeps to one may answer slightly before it.
const deadlineSlack = 5 * time.Millisecond

// Reached reports whether a timeout that happens now counts as caused by a deadline.
func Reached(deadline time.Time) bool { return time.Until(deadline) <= deadlineSlack }

// Sleep pauses for d, or until ctx ends, and returns the error of ctx then.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
