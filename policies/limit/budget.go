package limit

import (
	"sync"
	"time"
)

// Bounds of retry budgets.
const (
	BudgetWindow     = 10 * time.Second
	MinRetries       = 10  // in a window, allowed whatever the share
	DefaultRetryRate = 0.2 // share of the calls, for hedges without a retry rule
)

// Budget limits retries to a share of recent calls, and to MinRetries for clients that call seldom. Without it a dead
// upstream would get a multiple of its load at the worst moment.
type Budget struct {
	mu     sync.Mutex
	window *window // total: calls and retries; failed: retries
}

// NewBudget returns an unspent budget.
func NewBudget() *Budget { return &Budget{window: newWindow(BudgetWindow)} }

// Call counts a call.
func (b *Budget) Call(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.window.add(now, false, false)
}

// Spend counts a retry and reports true if share of the calls allows for it.
func (b *Budget) Spend(share float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	total, retries, _ := b.window.sum(now)
	calls := total - retries
	if float64(retries+1) > share*float64(calls)+MinRetries {
		return false
	}
	b.window.add(now, true, false)
	return true
}

// Counts returns the calls and the retries of the window.
func (b *Budget) Counts() (calls, retries int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	total, retries, _ := b.window.sum(time.Now())
	return total - retries, retries
}

// windowBuckets is the number of parts of a window; one part at a time is forgotten.
const windowBuckets = 10

// window counts outcomes over a sliding window. It is not safe for concurrent use.
type window struct {
	period  time.Duration // of a bucket
	began   time.Time
	age     int64 // index of the current bucket, since began
	buckets [windowBuckets]struct{ total, failed, slow int }
}

func newWindow(d time.Duration) *window {
	return &window{period: max(d/windowBuckets, 1), began: time.Now()}
}

func (w *window) add(now time.Time, failed, slow bool) {
	w.roll(now)
	b := &w.buckets[w.age%windowBuckets]
	b.total++
	if failed {
		b.failed++
	}
	if slow {
		b.slow++
	}
}

// addSlow counts a call as slow that add has counted already.
func (w *window) addSlow(now time.Time) {
	w.roll(now)
	w.buckets[w.age%windowBuckets].slow++
}

func (w *window) sum(now time.Time) (total, failed, slow int) {
	w.roll(now)
	for _, b := range w.buckets {
		total, failed, slow = total+b.total, failed+b.failed, slow+b.slow
	}
	return total, failed, slow
}

func (w *window) roll(now time.Time) {
	age := int64(now.Sub(w.began) / w.period)
	for n := 0; w.age < age && n < windowBuckets; n++ {
		w.age++
		clear(w.buckets[w.age%windowBuckets : w.age%windowBuckets+1])
	}
	w.age = max(w.age, age)
}
