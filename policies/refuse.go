package policies

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// name is the host's; a nil Snapshot has none.
func (s *Snapshot) name() string {
	if s == nil {
		return ""
	}
	return s.host
}

// refuse makes the error of a refusal by a rule.
func (s *Snapshot) refuse(r *rule, c code.Code, reason, what string, retryAfter time.Duration) *code.Error {
	return code.Refuse(c, reason, what, r.label, s.host, roundUp(retryAfter))
}

// ended makes the error of a call that ended while it waited for a rule.
func (s *Snapshot) ended(ctx context.Context, r *rule, what string) *code.Error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return s.refuse(r, code.DeadlineExceeded, code.ReasonTimeout, "deadline passed while "+what, 0)
	}
	return s.refuse(r, code.Cancelled, code.ReasonCancelled, "cancelled while "+what, 0)
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
