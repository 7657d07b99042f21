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
	left     atomic.Bool  // it is out of use: the peer drains or it has ended
	unlisted *atomic.Bool // the node's: no service lists it
	closing  atomic.Bool  // it takes no more calls

	within context.Context //nolint:containedctx // core.closing
	free   func(*link)     // called after the last call of a link that is out of use
}

// closeWait is the time that closing a link may take.
const closeWait = 30 * time.Second

// take reserves the link for a call. It is false when the link takes no more calls.
func (l *link) take() bool {
	l.calls.Add(1)
	if l.closing.Load() || l.Draining() || l.hasEnded() {
		l.give()
		return false
	}
	return true
}

// give returns the link after a call. The last call of a link that is out of use frees it.
func (l *link) give() {
	if l.calls.Add(-1) == 0 && l.unused() {
		l.free(l)
	}
}

// unused reports whether the link is out of use and has no calls.
func (l *link) unused() bool { return l.calls.Load() == 0 && (l.left.Load() || l.unlisted.Load()) }

// end closes the link gracefully, within closeWait and until core.closing ends.
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

// links are the connections to a node. Long messages have a connection of their own, made on demand: frames are sent whole,
// and short calls must not wait behind long ones.
type links struct {
	inUse    []atomic.Pointer[link] // the last one is for long messages
	turn     atomic.Uint64
	lastLong atomic.Int64       // the last long message, see core.now; 0: never
	leaving  map[*link]struct{} // out of use, but with calls in flight; under node.mu
}

const (
	longMessage = 256 << 10   // a payload of this size delays other calls noticeably
	recently    = time.Minute // a node stays connected while one of its services was called within this time
)

// take returns a link reserved for a call, nil when there is none. The caller gives it back.
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

// wantLong records a long message, and reports whether it is the first one within a second.
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

// missing returns the index of a link to be made, negative when there is none, and whether any link is left. It needs
// node.mu.
func (l *links) missing(now int64) (slot int, some bool) {
	slot, some = -1, len(l.leaving) > 0
	for i := range l.inUse {
		switch {
		case l.inUse[i].Load() != nil:
			some = true
		case slot < 0 && (i < len(l.inUse)-1 || l.hasLong(now)):
			slot = i
		}
	}
	return slot, some
}

// leave takes a link out of use until its calls have ended. It needs node.mu.
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
