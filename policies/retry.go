package policies

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
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
		maxAttempts: c.MaxAttempts, perTry: c.PerTryTimeout.Std(),
		shortest: c.InitialBackoff.Std(),
		longest:  c.MaxBackoff.Std(),
		failMode: c.FailMode, share: float64(c.Budget),
		names: c.RetryOn,
	}
	if r.perTry < 0 || r.shortest < 0 || r.longest < 0 {
		return nil, fmt.Errorf("retry: negative perTryTimeout, initialBackoff or maxBackoff")
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

func (r *retryRule) setting() string {
	text := fmt.Sprintf("up to %d attempts on %s, %s", r.maxAttempts, listed(r.names), r.failMode)
	if r.perTry > 0 {
		text += ", each for " + config.Duration(r.perTry).String()
	}
	return text + fmt.Sprintf(", pauses up to %s, then up to %s, budget %s of the calls (%d retries per %s are always allowed)",
		config.Duration(r.shortest), config.Duration(r.longest), config.Share(r.share), limit.MinRetries, config.Duration(limit.BudgetWindow))
}

// hedgeRule is what a rule says about calls that are slow.
type hedgeRule struct {
	delay       time.Duration
	maxAttempts int
	methods     []glob
	names       []string
}

func newHedgeRule(c *config.Hedge) *hedgeRule {
	return &hedgeRule{
		delay: max(c.Delay.Std(), 1), maxAttempts: c.MaxAttempts,
		methods: compileGlobs(c.Methods), names: c.Methods,
	}
}

func (r *hedgeRule) setting() string {
	return fmt.Sprintf("another attempt each %s without an answer, up to %d, for %s",
		config.Duration(r.delay), r.maxAttempts, listed(r.names))
}

// SpentError is the error of the last attempt of a call that was not retried since the budget of its rule is spent.
type SpentError struct {
	Rule string // as name@r42
	err  error
}

// Error returns the error of the attempt.
func (s *SpentError) Error() string { return s.err.Error() }

// Unwrap returns the error of the attempt.
func (s *SpentError) Unwrap() error { return s.err }
