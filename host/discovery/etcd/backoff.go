package etcd

import (
	"context"
	"math/rand/v2"
	"time"
)

// pause is how long to wait before the next attempt: it doubles up to a cap, and a random part of it is left out, so
// that the hosts of a fleet do not come all at once.
type pause struct{ next time.Duration }

const (
	firstPause = 100 * time.Millisecond
	maxPause   = time.Second
)

// wait waits, or until there is news or ctx ends.
func (p *pause) wait(ctx context.Context, news <-chan struct{}) {
	d := max(p.next, firstPause)
	p.next = min(2*d, maxPause)
	t := time.NewTimer(d/2 + rand.N(d/2))
	defer t.Stop()
	select {
	case <-t.C:
	case <-news:
	case <-ctx.Done():
	}
}

func (p *pause) reset() { p.next = 0 }

// herd is how far apart the hosts of a fleet are that all heard of the same thing at once, and now want to read or write
// all that they have.
const herd = 500 * time.Millisecond

// spread waits for a random part of herd.
func spread(ctx context.Context) {
	t := time.NewTimer(rand.N(herd))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// about is d, 10 % more or less.
func about(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5) }
