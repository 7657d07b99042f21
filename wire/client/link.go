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
	left     atomic.Bool  // it is out of use: the peer drains
	unlisted *atomic.Bool // so are all links of the node
	closing  atomic.Bool  // nothing may use it any more

	within context.Context //nolint:containedctx // of the client: its end cuts closing short
	free   func(*link)     // called when a link that is out of use has no calls any more
}

// closeWait is how long a link that is out of use may take to end.
const closeWait = 30 * time.Second

// take counts a call in, unless the link takes no more.
func (l *link) take() bool {
	l.calls.Add(1)
	if l.closing.Load() || l.Draining() || l.hasEnded() {
		l.give()
		return false
	}
	return true
}

// give counts a call out. The last one of a link that is out of use closes it.
func (l *link) give() {
	if l.calls.Add(-1) == 0 && l.unused() {
		l.free(l)
	}
}

// unused reports whether the link is out of use and has no calls.
func (l *link) unused() bool { return l.calls.Load() == 0 && (l.left.Load() || l.unlisted.Load()) }

// end closes the link as Close does, and sooner where the client has to end.
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

// links are the connections to a node. Long messages have one of their own, made when there are some, so that small calls
// do not wait behind them: a frame is sent whole.
type links struct {
	inUse    []atomic.Pointer[link] // the last one is for long messages
	turn     atomic.Uint64
	lastLong atomic.Int64       // when there was the last long message, see core.now; 0: never
	leaving  map[*link]struct{} // out of use, but with calls in flight; under node.mu
}

const (
	longMessage = 256 << 10   // a payload that keeps a connection busy long enough for small calls to notice
	recently    = time.Minute // a node is kept connected while a service on it was called within so long
)

// take returns a connection that takes a call, nil when there is none. The caller gives it back.
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

// takeLong is take for a long message.
func (l *links) takeLong() *link {
	if c := l.inUse[len(l.inUse)-1].Load(); c != nil && c.take() {
		return c
	}
	return nil
}

// wantLong notes a long message, and reports whether it is the first one for a second.
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

// missing returns the place of a connection that should be made, negative when there is none, and whether there are any.
// It needs node.mu.
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

// connected reports whether there are connections in use.
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
