package client

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// link is a connection to a node.
type link struct {
	*wire.Conn
	born     time.Time
	remote   netip.Addr
	calls    atomic.Int64
	left     atomic.Bool  // out of use: the peer drains, or the connection has ended
	unlisted *atomic.Bool // node.unlisted
	closing  atomic.Bool  // it accepts no more calls

	within context.Context //nolint:containedctx // core.closing
	free   func(*link)     // called after the last call, once out of use
}

// closeWait is the timeout for closing a link.
const closeWait = 30 * time.Second

// take reserves the link for a call. It returns false if the link accepts no more calls.
func (l *link) take() bool {
	l.calls.Add(1)
	if l.closing.Load() || l.Draining() || l.hasEnded() {
		l.give()
		return false
	}
	return true
}

// give releases the link after a call. The last call frees a link that is out of use.
func (l *link) give() {
	if l.calls.Add(-1) == 0 && l.unused() {
		l.free(l)
	}
}

// unused reports whether the link is out of use and has no calls.
func (l *link) unused() bool { return l.calls.Load() == 0 && (l.left.Load() || l.unlisted.Load()) }

// end closes the link gracefully, until closeWait is over or core.closing ends.
func (l *link) end() {
	ctx, cancel := context.WithTimeout(l.within, closeWait)
	defer cancel()
	_ = l.Shutdown(ctx)
}

func (l *link) hasEnded() bool {
	select {
	case <-l.Done():
		return true
	default:
		return false
	}
}

// links are the connections to a node. Long messages use a separate connection, made on demand, so that short calls do not
// wait behind them: frames are sent whole.
type links struct {
	inUse    []atomic.Pointer[link] // the last element is for long messages
	turn     atomic.Uint64
	lastLong atomic.Int64       // time of the last long message, see core.now; 0: never
	leaving  map[*link]struct{} // out of use, but with calls in flight; under node.mu
}

const (
	longMessage = 256 << 10   // payloads from this length delay other calls noticeably
	recently    = time.Minute // a node stays connected if one of its services was called within this time
)

// take returns a link reserved for a call, nil if there is none. The caller must call give.
func (l *links) take() *link {
	pool := len(l.inUse) - 1
	first := 0
	if pool > 1 {
		first = int(l.turn.Add(1) % uint64(pool))
	}
	for i := range pool {
		if c := l.inUse[(first+i)%pool].Load(); c != nil && c.take() {
			return c
		}
	}
	return l.takeLong()
}

// takeLong is like take, for a long message.
func (l *links) takeLong() *link {
	if c := l.inUse[len(l.inUse)-1].Load(); c != nil && c.take() {
		return c
	}
	return nil
}

// wantLong records a long message, and reports whether it is the first in a second.
func (l *links) wantLong(now int64) bool {
	now = max(now, 1)
	last := l.lastLong.Swap(now)
	return last == 0 || now-last > int64(time.Second)
}

// hasLong reports whether there were long messages recently.
func (l *links) hasLong(now int64) bool {
	last := l.lastLong.Load()
	return last != 0 && now-last <= int64(recently)
}

// missing returns the index of a link to make, or -1, and whether there are any links. It needs node.mu.
func (l *links) missing(now int64) (index int, some bool) {
	index, some = -1, len(l.leaving) > 0
	for i := range l.inUse {
		switch {
		case l.inUse[i].Load() != nil:
			some = true
		case index < 0 && (i < len(l.inUse)-1 || l.hasLong(now)):
			index = i
		}
	}
	return index, some
}

// leave keeps a link that is out of use until its calls have ended. It needs node.mu.
func (l *links) leave(c *link) {
	if l.leaving == nil {
		l.leaving = make(map[*link]struct{})
	}
	l.leaving[c] = struct{}{}
}

// remove needs node.mu.
func (l *links) remove(c *link) {
	delete(l.leaving, c)
	for i := range l.inUse {
		l.inUse[i].CompareAndSwap(c, nil)
	}
}

// connected reports whether a link is in use.
func (l *links) connected() bool {
	for i := range l.inUse {
		if l.inUse[i].Load() != nil {
			return true
		}
	}
	return false
}

// all needs node.mu.
func (l *links) all() (all []*link) {
	for i := range l.inUse {
		if c := l.inUse[i].Load(); c != nil {
			all = append(all, c)
		}
	}
	for c := range l.leaving {
		all = append(all, c)
	}
	return all
}
