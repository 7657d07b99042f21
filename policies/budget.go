package policies

import (
	"sync"
	"time"
)

// The budget of retries: a share of the calls of the last while, and a few for clients that call seldom. Without it a
// dead upstream would get maxAttempts times its load at the worst moment.
const (
	budgetWindow = 10 * time.Second
	budgetFloor  = 10  // retries in a window that are always allowed
	usualBudget  = 0.2 // share of the calls, where no rule says it
)

// SpentError is the error of the last attempt of a call that was not sent again, because the budget of its retry rule is spent.
type SpentError struct {
	Rule string // as name@r42
	err  error
}

// Error is that of the attempt: what its peer or the client says of it stays what it is.
func (s *SpentError) Error() string { return s.err.Error() }

// Unwrap is the error of the attempt.
func (s *SpentError) Unwrap() error { return s.err }

// budget counts the calls and the retries to one upstream under one rule.
type budget struct {
	mu     sync.Mutex
	window *window // total: calls and retries; failed: retries
}

func newBudget() *budget { return &budget{window: newWindow(budgetWindow)} }

// call counts a call.
func (b *budget) call(now time.Time) {
	b.mu.Lock()
	b.window.add(now, false, false)
	b.mu.Unlock()
}

// spend takes a retry out of the budget, if share of the calls allows it.
func (b *budget) spend(share float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	total, retries, _ := b.window.sum(now)
	calls := total - retries
	if float64(retries+1) > share*float64(calls)+budgetFloor {
		return false
	}
	b.window.add(now, true, false)
	return true
}

// counts are the calls and the retries of the window.
func (b *budget) counts() (calls, retries int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	total, retries, _ := b.window.sum(time.Now())
	return total - retries, retries
}
