package route

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// retired is added to the count once no more calls are admitted.
const retired = math.MinInt64 / 2

// RefCount counts the calls that use a resource which a change may take out of service. It may be used concurrently.
type RefCount struct {
	calls   atomic.Int64
	last    sync.Once
	drained chan struct{}
}

// NewRefCount returns a count that admits calls.
func NewRefCount() RefCount { return RefCount{drained: make(chan struct{})} }

// Acquire admits a call. It returns false once the count is retired; a newer generation then has the successor.
func (c *RefCount) Acquire() bool {
	if c.calls.Add(1) > 0 {
		return true
	}
	c.Release()
	return false
}

// Release ends a call for which Acquire returned true.
func (c *RefCount) Release() { c.count(-1) }

// Retire admits no more calls.
func (c *RefCount) Retire() { c.count(retired) }

func (c *RefCount) count(n int64) {
	if c.calls.Add(n) == retired {
		// A call that is turned away may be counted after the last one has left.
		c.last.Do(func() { close(c.drained) })
	}
}

// Wait returns when the last call of a retired count has left, or ctx ends.
func (c *RefCount) Wait(ctx context.Context) {
	select {
	case <-c.drained:
	case <-ctx.Done():
	}
}

// drainTimeout bounds how long a resource out of service waits for its last call.
const drainTimeout = 5 * time.Minute

// Drain retires the count and waits until it is zero, five minutes have passed or ctx ends.
func (c *RefCount) Drain(ctx context.Context) {
	c.Retire()
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	c.Wait(ctx)
}

// InFlight returns the number of calls.
func (c *RefCount) InFlight() int {
	n := c.calls.Load()
	if n < 0 {
		n -= retired
	}
	return int(n)
}
