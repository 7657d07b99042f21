package host

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
)

// retired is what a count of calls is lowered by once no new call may enter.
const retired = math.MinInt64 / 2

// users are the calls that are inside of what a change may take out of service.
type users struct {
	calls   atomic.Int64
	last    sync.Once
	drained chan struct{}
}

func newUsers() users { return users{drained: make(chan struct{})} }

// acquire lets a call in; false when it is being retired and a newer generation has its successor.
func (u *users) acquire() bool {
	if u.calls.Add(1) > 0 {
		return true
	}
	u.release()
	return false
}

func (u *users) release() { u.count(-1) }

// retire lets no more calls in.
func (u *users) retire() { u.count(retired) }

func (u *users) count(n int64) {
	if u.calls.Add(n) == retired {
		// A call that was turned away may be counted after the last one has gone.
		u.last.Do(func() { close(u.drained) })
	}
}

// wait returns after the last call of what is retired, or when ctx ends.
func (u *users) wait(ctx context.Context) {
	select {
	case <-u.drained:
	case <-ctx.Done():
	}
}

func (u *users) inFlight() int {
	n := u.calls.Load()
	if n < 0 {
		n -= retired
	}
	return int(n)
}
