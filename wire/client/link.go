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
	node    *node
	born    time.Time
	remote  netip.Addr
	calls   atomic.Int64
	left    atomic.Bool // it is out of use: the peer drains
	closing atomic.Bool // nobody may use it any more
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
	if l.calls.Add(-1) == 0 && (l.left.Load() || l.node.unlisted.Load()) {
		l.node.release(l)
	}
}

// end closes the link as Close does, and sooner where the client has to end.
func (l *link) end() {
	ctx, cancel := context.WithTimeout(l.node.c.closing, closeWait)
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

// retire takes a link without calls out of use. It tells false for one that has some. It needs n.mu.
func (n *node) retire(l *link) bool {
	if n.closed || l.closing.Swap(true) {
		return true
	}
	if l.calls.Load() > 0 && !l.hasEnded() {
		l.closing.Store(false) // who was told meanwhile that it takes no calls comes to release
		return false
	}
	delete(n.leaving, l)
	for i := range n.links {
		n.links[i].CompareAndSwap(l, nil)
	}
	if !n.c.spawnErrand(l.end) {
		n.leave(l) // the client is being closed, and will come here
	}
	return true
}

// leave needs n.mu.
func (n *node) leave(l *link) {
	if n.leaving == nil {
		n.leaving = make(map[*link]struct{})
	}
	n.leaving[l] = struct{}{}
}

// release closes a link that is out of use when its last call has ended.
func (n *node) release(l *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.calls.Load() == 0 && (l.left.Load() || n.unlisted.Load()) {
		n.retire(l)
		n.wake()
	}
}
