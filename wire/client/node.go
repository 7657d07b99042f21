package client

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// state is how a node can be reached.
type state int32

const (
	idle         state = iota // nothing wanted it yet, or not for long: a call may have it dialled
	connecting                // for the first time: calls may wait for it
	reconnecting              // it was lost, or has drained, after a good time, or is listed anew: calls may wait for it if there is nothing better
	ready
	backingOff // it could not be reached: it is dialled again when its time has come
	draining   // it asked to be left, and could not be reached again yet
)

var stateNames = [...]string{
	idle: "idle", connecting: "connecting", reconnecting: "connecting", ready: "ready", backingOff: "backoff", draining: "draining",
}

func (s state) String() string { return stateNames[s] }

// node is an address with its connections. It is shared by the services that are there. One goroutine, dialLoop, makes
// the connections; it runs while there are any or some are wanted.
type node struct {
	c *core
	netAddress

	users    users       // written under catalog.mu
	unlisted atomic.Bool // no service lists it
	state    atomic.Int32
	slowDial atomic.Bool // its first dial takes long: others are preferred
	links    links
	kick     chan struct{} // wakes dialLoop

	mu       sync.Mutex
	dialling bool // dialLoop runs
	closed   bool
	cancel   context.CancelFunc // of the dial in progress
	demanded bool               // a call waits for a connection
	drained  bool               // the last connection was given up because the peer drains
	paced    bool               // it ended well, but soon: the next one waits for backoff.soonest
	backoff  backoff
	err      error  // why there is no connection
	changed  signal // of the state
}

const (
	goodLife = time.Second // a connection that lived so long was a good one: the next is dialled at once
	noHurry  = time.Minute
)

var (
	errUnlisted = errors.New("it has left the list of endpoints")
	errSlowDial = errors.New("it is not connected yet")
	errAsked    = errors.New("it drains: it has asked to call elsewhere")
	errIdle     = errors.New("it has closed the connection, on which there was no call")
)

func newNode(c *core, at netAddress) *node {
	return &node{
		c: c, netAddress: at, kick: make(chan struct{}, 1), links: links{inUse: make([]atomic.Pointer[link], c.o.PoolSize+1)},
	}
}

// link returns a connection that takes a call, nil when there is none. A long message does not wait for the connection
// that is made for such.
func (n *node) link(long bool) *link {
	if long {
		if l := n.links.takeLong(); l != nil {
			return l
		}
		if n.links.wantLong(n.c.now()) {
			n.wake()
		}
	}
	return n.links.take()
}

// await waits for a connection, for as long as late allows. It fails at once when the node is being left alone.
func (n *node) await(ctx context.Context, long bool, late <-chan time.Time) (*link, error) {
	for {
		if l := n.link(long); l != nil {
			return l, nil
		}
		changed, err := n.demand()
		switch {
		case err != nil:
			return nil, err
		case changed == nil:
			continue
		}
		select {
		case <-changed:
		case <-late:
			n.slowDial.Store(true)
			return nil, errSlowDial
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-n.c.done:
			return nil, ErrClosed
		}
	}
}

// demand sees to it that the node is being connected, unless its time has not come. There is nothing to wait for when it
// was connected meanwhile.
func (n *node) demand() (changed <-chan struct{}, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sweep()
	switch s := state(n.state.Load()); {
	case n.closed:
		return nil, ErrClosed
	case n.unlisted.Load():
		return nil, errUnlisted
	case s == backingOff || s == draining:
		return nil, n.err
	case s == ready:
		return nil, nil
	case s == idle:
		n.set(connecting)
	}
	n.demanded = true
	if !n.dialling {
		n.dialling = n.c.spawn(n.dialLoop)
	}
	n.wake()
	return n.changed.wait(), nil
}

// redialNow brings the next dial forward: there is reason to ask again, such as that the resolver has just listed the
// node. Calls wait for that dial if there is nothing better. It is false when there is a connection.
func (n *node) redialNow() bool {
	if state(n.state.Load()) == ready {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.backoff.hurry()
	switch state(n.state.Load()) {
	case backingOff, draining:
		n.set(reconnecting)
	case idle, connecting, reconnecting, ready:
	}
	n.wake()
	return true
}

// absence returns why there is no connection, and in how long the next attempt to make one is due.
func (n *node) absence() (in time.Duration, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return max(time.Until(n.backoff.soonest), 0), n.err
}

// list adds a service that lists the node.
func (n *node) list(u user) {
	n.users.add(u)
	n.unlisted.Store(false)
}

// settle gives the connections up when no service lists the node any more, but not those with calls in flight: the node
// may be listed again. Calls that wait for one are told. It reports whether nothing is left.
func (n *node) settle() (empty bool) {
	if len(n.users.all()) > 0 {
		return false
	}
	n.unlisted.Store(true)
	n.mu.Lock()
	defer n.mu.Unlock()
	empty = true
	for i := range n.links.inUse {
		if l := n.links.inUse[i].Load(); l != nil && !n.retire(l) {
			empty = false
		}
	}
	n.changed.send()
	n.wake()
	return empty && !n.dialling && n.backoff.rested() // it may be listed again at once
}

// dialLoop makes the connections that are missing, for as long as there are any or some are wanted.
func (n *node) dialLoop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		slot, wait, more := n.plan()
		switch {
		case !more:
			return
		case slot >= 0:
			n.connect(slot)
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-n.kick:
		case <-n.c.done:
			return
		}
	}
}

// plan returns the link to be made now, or how long there is nothing to do. more is false when dialLoop ends.
func (n *node) plan() (slot int, wait time.Duration, more bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.c.now()
	missing, some := n.links.missing(now)
	switch {
	case n.closed:
		return 0, 0, false
	case n.unlisted.Load() || !n.demanded && !n.users.calledWithin(now, recently):
		if !some {
			n.dialling = false
			n.set(idle)
		}
		return -1, noHurry, some
	case missing < 0:
		return -1, noHurry, true
	}
	wait = time.Until(n.backoff.soonest)
	if wait > 0 && (n.backoff.failures > 0 || n.paced || !n.demanded) {
		return -1, wait, true
	}
	return missing, 0, true
}

// connect makes one connection.
func (n *node) connect(slot int) {
	ctx, cancel := context.WithTimeout(context.Background(), n.c.o.ConnectTimeout)
	defer cancel()
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return
	}
	n.cancel = cancel
	n.backoff.dialling()
	n.mu.Unlock()
	l, err := dialLink(ctx, n.c, n.netAddress, n.users.check, n.onChange)
	n.mu.Lock()
	n.demanded = false
	switch {
	case err != nil:
		n.err = err
		n.backoff.fail()
		if !n.links.connected() {
			n.set(n.away())
		}
	case n.closed || n.unlisted.Load():
		n.mu.Unlock()
		l.end()
		return
	default:
		l.unlisted, l.free = &n.unlisted, n.release
		n.links.inUse[slot].Store(l)
		n.drained, n.err = false, nil
		n.set(ready)
		n.sweep()
	}
	n.mu.Unlock()
}

// onChange is called by connections that drain or have ended.
func (n *node) onChange() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sweep()
	n.wake()
}

// sweep takes the links that drain or have ended out of use. It needs n.mu.
func (n *node) sweep() {
	for i := range n.links.inUse {
		if l := n.links.inUse[i].Load(); l != nil && (l.hasEnded() || l.Draining()) {
			n.links.inUse[i].Store(nil)
			n.lost(l)
		}
	}
	for l := range n.links.leaving {
		if l.hasEnded() {
			n.retire(l)
		}
	}
	if n.links.connected() || state(n.state.Load()) != ready {
		return
	}
	if n.backoff.failures == 0 {
		n.set(reconnecting)
	} else {
		n.set(n.away())
	}
}

// lost needs n.mu. A connection that the peer has ended in good order, with a drain frame or between two calls, is no
// failure: the peer may be back at once.
func (n *node) lost(l *link) {
	l.left.Store(true)
	clean, long := l.Draining() || l.EndedIdle(), time.Since(l.born) >= goodLife
	n.drained, n.paced = !l.hasEnded(), clean && !long
	switch {
	case n.drained:
		n.err = errAsked
	case clean:
		n.err = errIdle
	default:
		n.err = l.Err()
	}
	if clean || long {
		n.backoff.succeed(long)
	} else {
		n.backoff.fail()
	}
	if !n.retire(l) {
		n.links.leave(l)
	}
}

// retire takes a link without calls out of use. It is false for one that has some. It needs n.mu.
func (n *node) retire(l *link) bool {
	if n.closed || l.closing.Swap(true) {
		return true
	}
	if l.calls.Load() > 0 && !l.hasEnded() {
		l.closing.Store(false) // a call that was turned away meanwhile comes to release
		return false
	}
	n.links.remove(l)
	if !n.c.spawnErrand(l.end) {
		n.links.leave(l) // the client is being closed, and will come here
	}
	return true
}

// release closes a link that is out of use when its last call has ended.
func (n *node) release(l *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.unused() {
		n.retire(l)
		n.wake()
	}
}

func (n *node) away() state {
	if n.drained {
		return draining
	}
	return backingOff
}

// set needs n.mu.
func (n *node) set(s state) {
	if s != connecting {
		n.slowDial.Store(false)
	}
	n.state.Store(int32(s))
	n.changed.send()
}

func (n *node) wake() {
	select {
	case n.kick <- struct{}{}:
	default: // it has been woken and has not looked yet
	}
}

// close ends the node. What it returns is still to be closed.
func (n *node) close() []*link {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	if n.cancel != nil {
		n.cancel()
	}
	return n.links.all()
}

// all returns the connections.
func (n *node) all() []*link {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.links.all()
}
