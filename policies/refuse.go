package policies

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// origin is what a refusal says about where it comes from.
type origin struct {
	label string // name@rN of the rule
	host  string
}

// refuse makes the error of a refusal by a rule.
func (o *origin) refuse(c code.Code, reason, what string, retryAfter time.Duration) *code.Error {
	return code.Refuse(c, reason, what, o.label, o.host, roundUp(retryAfter))
}

// ended makes the error of a call that ended while it waited for a rule.
func (o *origin) ended(ctx context.Context, what string) *code.Error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return o.refuse(code.DeadlineExceeded, code.ReasonTimeout, "deadline passed while "+what, 0)
	}
	return o.refuse(code.Cancelled, code.ReasonCancelled, "cancelled while "+what, 0)
}

func (o *origin) breakerOpen(left time.Duration) error {
	return o.refuse(code.Unavailable, code.ReasonBreakerOpen, "circuit breaker open", left)
}

// roundUp makes whole milliseconds, which is what travels: a retry that comes too early is refused again.
func roundUp(d time.Duration) time.Duration {
	switch {
	case d <= 0:
		return 0
	case d > math.MaxInt64-time.Millisecond:
		return d
	}
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}
