package host

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/wire"
)

// retireTimeout bounds how long something out of service waits for its last call.
const retireTimeout = 5 * time.Minute

// core is what all parts of a host share.
type core struct {
	name, version string
	log           *slog.Logger
	sampler       *telemetry.LogSampler // for lines that callers can cause in any number
	metrics       *telemetry.Metrics
	tracing       *telemetry.Tracing
	budget        *wire.Budget // of all listeners

	current  atomic.Pointer[generation] // the only thing in a host that changes what calls meet
	life     context.Context            //nolint:containedctx // its end cancels the calls that are left, of whatever generation
	cut      context.CancelFunc
	retiring sync.WaitGroup // what finishes its last calls
}

// drained retires a count and waits until it is zero, retireTimeout has passed or the host ends.
func (c *core) drained(u *refCount) {
	u.retire()
	ctx, cancel := context.WithTimeout(c.life, retireTimeout)
	defer cancel()
	u.wait(ctx)
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// retired is added to the count once no call may enter any more.
const retired = math.MinInt64 / 2

// refCount counts the calls inside something that a change may take out of service.
type refCount struct {
	calls   atomic.Int64
	last    sync.Once
	drained chan struct{}
}

func newRefCount() refCount { return refCount{drained: make(chan struct{})} }

// acquire lets a call in. It returns false once the count is retired; a newer generation then has the successor.
func (u *refCount) acquire() bool {
	if u.calls.Add(1) > 0 {
		return true
	}
	u.release()
	return false
}

func (u *refCount) release() { u.count(-1) }

// retire lets no more calls in.
func (u *refCount) retire() { u.count(retired) }

func (u *refCount) count(n int64) {
	if u.calls.Add(n) == retired {
		// A call that is turned away may be counted after the last one has left.
		u.last.Do(func() { close(u.drained) })
	}
}

// wait returns when the last call of a retired count has left, or ctx ends.
func (u *refCount) wait(ctx context.Context) {
	select {
	case <-u.drained:
	case <-ctx.Done():
	}
}

func (u *refCount) inFlight() int {
	n := u.calls.Load()
	if n < 0 {
		n -= retired
	}
	return int(n)
}
