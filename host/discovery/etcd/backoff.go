package etcd

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff waits longer after each attempt, up to a maximum, less a random part, so that the hosts of a fleet do not all
// retry at once.
type backoff struct{ next time.Duration }

const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = time.Second
)

// wait returns when the time has passed, wake is notified or ctx ends.
func (b *backoff) wait(ctx context.Context, wake <-chan struct{}) {
	d := max(b.next, minBackoff)
	b.next = min(2*d, maxBackoff)
	t := time.NewTimer(d/2 + rand.N(d/2))
	defer t.Stop()
	select {
	case <-t.C:
	case <-wake:
	case <-ctx.Done():
	}
}

func (b *backoff) reset() { b.next = 0 }

// maxSpread is the period over which the hosts of a fleet spread their reactions to the same event.
const maxSpread = 500 * time.Millisecond

// spread waits for a random part of maxSpread.
func spread(ctx context.Context) {
	t := time.NewTimer(rand.N(maxSpread))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// jitter returns d ± 10 %.
func jitter(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5) }

// notify sends to a channel with a buffer of one, unless the buffer is full.
func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func isClosed(ch chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
