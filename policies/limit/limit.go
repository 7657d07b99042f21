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

// Origin is what a refusal reports about where it comes from.
type Origin struct {
	Rule string // name@rN
	Host string
}

// Refuse returns the error of a refusal.
func (o *Origin) Refuse(c code.Code, reason, what string, retryAfter time.Duration) *code.Error {
	return code.Refuse(c, reason, what, o.Rule, o.Host, RoundUp(retryAfter))
}

// RefuseOpen returns the error of an open breaker.
func (o *Origin) RefuseOpen(left time.Duration) error {
	return o.Refuse(code.Unavailable, code.ReasonBreakerOpen, "circuit breaker open", left)
}

// RefuseEnded returns the error of a call that ended while it waited.
func (o *Origin) RefuseEnded(ctx context.Context, what string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return o.Refuse(code.DeadlineExceeded, code.ReasonTimeout, "deadline passed while "+what, 0)
	}
	return o.Refuse(code.Cancelled, code.ReasonCancelled, "cancelled while "+what, 0)
}

// RoundUp rounds up to whole milliseconds, in which retry delays travel: a retry that comes too early is refused again.
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
