package policies

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/code"
)

// retryRule is what a rule says about calls that failed.
type retryRule struct {
	maxAttempts       int
	perTry            time.Duration // 0: as long as the call
	shortest, longest time.Duration // pauses
	on                uint32        // a bit for each code
	failMode          string
	share             float64
	names             []string // of the codes
}

func newRetryRule(c *config.Retry) (*retryRule, error) {
	r := &retryRule{
		maxAttempts: cmp.Or(c.MaxAttempts, 3), perTry: c.PerTryTimeout.Std(),
		shortest: cmp.Or(c.InitialBackoff.Std(), 20*time.Millisecond),
		longest:  cmp.Or(c.MaxBackoff.Std(), 500*time.Millisecond),
		failMode: cmp.Or(c.FailMode, config.Failover), share: cmp.Or(float64(c.Budget), usualBudget),
		names: c.RetryOn,
	}
	if r.perTry < 0 || r.shortest < 0 || r.longest < 0 {
		return nil, fmt.Errorf("retry: negative perTryTimeout, initialBackoff or maxBackoff")
	}
	if len(r.names) == 0 {
		r.names = []string{code.Unavailable.String()}
	}
	for _, name := range r.names {
		on, ok := code.Parse(name)
		if !ok {
			return nil, fmt.Errorf("retry.retryOn: unknown code %q", name)
		}
		r.on |= 1 << on
	}
	return r, nil
}

// wants tells whether what came of an attempt is worth another one: its code is one of those asked for, and it was
// provably not run or may be run twice. An attempt that ran out of its own time perhaps ran, like one whose connection
// was lost, and counts as UNAVAILABLE, too.
func (r *retryRule) wants(o *outcome, idempotent bool) bool {
	e := code.From(o.err)
	on := e.Code < 32 && r.on&(1<<e.Code) != 0
	if o.perTry {
		on = on || r.on&(1<<code.Unavailable) != 0
	}
	return on && e.Code != code.Cancelled && (idempotent || code.NotRun(e.Reason)) && r.failMode != config.Failfast
}

// longestPause is how long a peer may ask a call to wait that has no deadline.
const longestPause = 30 * time.Second

// pause is how long to wait before the attempt after n: drawn evenly from nothing up to a bound that doubles each time,
// and at least what the peer asks for.
func (r *retryRule) pause(n int, err error) time.Duration {
	bound := r.longest
	if n < 32 && r.shortest < r.longest>>(n-1) {
		bound = r.shortest << (n - 1)
	}
	return max(rand.N(bound+1), code.From(err).RetryAfter)
}

// again decides about another attempt, and how long to rest before it.
func (f *flight) again(o *outcome) (pause time.Duration, ok bool) {
	for _, e := range f.softRetry {
		if e != nil && f.sent == 1 && e.rule.retry.wants(o, f.idempotent) && e.budget.spend(e.rule.retry.share) {
			e.counts.shadow.Add(1)
		}
	}
	if f.retry == nil {
		return 0, false
	}
	r := f.retry.rule.retry
	if f.sent >= r.maxAttempts || !r.wants(o, f.idempotent) {
		return 0, false
	}
	pause = r.pause(f.sent, o.err)
	if pause >= f.left() || f.deadline.IsZero() && pause > max(longestPause, r.longest) {
		return 0, false
	}
	if !f.spend() {
		o.err = &SpentError{Rule: f.retry.rule.label, err: o.err}
		return 0, false
	}
	return pause, true
}

// spend takes an attempt beyond the first out of the budget of the retry rule, if there is one.
func (f *flight) spend() bool {
	if f.retry == nil || f.retry.budget.spend(f.retry.rule.retry.share) {
		return true
	}
	f.retry.counts.reject.Add(1)
	return false
}

func (r *retryRule) setting() string {
	text := fmt.Sprintf("up to %d attempts on %s, %s", r.maxAttempts, listed(r.names), r.failMode)
	if r.perTry > 0 {
		text += ", each for " + config.Duration(r.perTry).String()
	}
	return text + fmt.Sprintf(", pauses up to %s, then up to %s, budget %s of the calls (%d retries per %s are always allowed)",
		config.Duration(r.shortest), config.Duration(r.longest), config.Share(r.share), budgetFloor, config.Duration(budgetWindow))
}
