package policies_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/code"
)

// keepsToTheDeadline is a peer that hangs until the deadline that it received: in whole milliseconds, and so slightly before
// ours.
func keepsToTheDeadline(ctx context.Context, _ string, _ int) error {
	if deadline, ok := ctx.Deadline(); ok && limit.Sleep(ctx, time.Until(deadline).Truncate(time.Millisecond)-200*time.Microsecond) == nil {
		return code.Remote(code.Refuse(code.DeadlineExceeded, code.ReasonTimeout, "deadline of the caller passed", "", "far", 0))
	}
	return until(ctx)
}

func TestAPeersAnswerAtTheEndOfAnAttemptIsThatOfPerTryTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := quick(3)
		c.PerTryTimeout = config.Duration(300 * time.Millisecond)
		b := newBilling(t, toBilling("calls", retry(c), timeout(2*time.Second)))
		b.answer = keepsToTheDeadline
		err := b.call(t.Context(), idempotent)
		if e := refusal(t, err); e.Rule != "calls@r1" || len(b.sent) != 3 {
			t.Errorf("%v after %d attempts", err, len(b.sent))
		}
	})
}

func TestAPeersAnswerAtTheCallersDeadlineCountsAgainstNoEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", timeout(time.Second), circuit(config.CircuitBreaker{ConsecutiveFailures: 1}),
			outlying(config.OutlierDetection{ConsecutiveFailures: 1})))
		b.answer = keepsToTheDeadline
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			err := b.call(ctx)
			cancel()
			if code.Of(err) != code.DeadlineExceeded {
				t.Fatalf("got %v", err)
			}
		}
		if went := b.went(); went != "[a:1 a:1 a:1]" || len(b.transitions()) > 0 {
			t.Errorf("went to %s: %+v", went, b.transitions())
		}
	})
}

// What a peer calls a deadline long before ours is none of the caller's.
func TestADeadlineOfThePeersOwnIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", circuit(config.CircuitBreaker{ConsecutiveFailures: 1})))
		b.answer = always(code.Remote(code.Refuse(code.DeadlineExceeded, code.ReasonTimeout, "timed out", "", "far", 0)))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		for range 2 {
			_ = b.call(ctx)
		}
		if went := b.went(); went != "[a:1 b:1]" {
			t.Errorf("went to %s", went)
		}
	})
}
