package client

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// state is the connectivity state of a node.
type state int32

const (
	idle         state = iota // not called yet, or not recently: the next call dials
	connecting                // for the first time: calls may wait
	reconnecting              // after a good connection was lost, or on redialNow: calls wait if no other node is connected
	ready
	backingOff // it could not be reached, and is dialled again after a delay
	draining   // it drains, and could not be reached again yet
)

var stateNames = [...]string{
	idle: "idle", connecting: "connecting", reconnecting: "connecting", ready: "ready", backingOff: "backoff", draining: "draining",
}

func (s state) String() string { return stateNames[s] }

// node is an address with its connections, which all services at the address share. One goroutine, dialLoop, makes the
// connections. It runs while there are any, or some are wanted.
type node struct {
	c *core
	netAddress

	users    users       // written under catalog.mu
	unlisted atomic.Bool // no service lists it
	state    atomic.Int32
	slowDial atomic.Bool // the first dial is slow: prefer other nodes
	links    links
	wakeup   chan struct{} // wakes dialLoop

	mu       sync.Mutex
	dialling bool // dialLoop runs
	closed   bool
	cancel   context.CancelFunc // of the dial in progress
	demanded bool               // a call waits for a connection
	drained  bool               // the last connection is out of use because the peer drains
	paced    bool               // it ended cleanly but early: the next dial waits for backoff.soonest
	backoff  backoff
	err      error  // why there is no connection
	changed  signal // of the state
}

const (
	stableAfter = time.Second // a connection that lasted this long is replaced at once
	idleWait    = time.Minute
)

var (
	errUnlisted = errors.New("no longer listed")
	errSlowDial = errors.New("not connected yet")
	errDraining = errors.New("draining")
	errIdle     = errors.New("closed the idle connection")
)

func newNode(c *core, at netAddress) *node {
	return &node{
		c: c, netAddress: at, wakeup: make(chan struct{}, 1), links: links{inUse: make([]atomic.Pointer[link], c.o.PoolSize+1)},
	}
}

// link returns a link reserved for a call, nil if there is none. A long message uses any link until the one for long
// messages is connected.
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

// await is like link, but waits for a connection until late. It fails at once while the node is backing off.
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

// demand starts connecting the node, and returns a channel that is closed when its state changes, or nil if it is connected.
// It returns an error if the node is not dialled now.
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

// redialNow dials without waiting for the backoff, for example because the resolver has listed the node again. Calls wait
// for that dial if no other node is connected. It returns false if there is a connection.
func (n *node) redialNow() bool {
	if state(n.state.Load()) == ready {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.backoff.expedite()
	switch state(n.state.Load()) {
	case backingOff, draining:
		n.set(reconnecting)
	case idle, connecting, reconnecting, ready:
	}
	n.wake()
	return true
}

// downReason returns the time until the next dial, and the reason for the lack of a connection; nil if there is one.
func (n *node) downReason() (in time.Duration, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return max(time.Until(n.backoff.soonest), 0), n.err
}

// list adds a service that lists the node.
func (n *node) list(u user) {
	n.users.add(u)
	n.unlisted.Store(false)
}

// settle closes the idle connections of a node that no service lists any longer, and wakes the calls that wait for one.
// Connections with calls in flight stay, since the node may be listed again. It reports whether the node can be dropped.
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
	return empty && !n.dialling && n.backoff.rested() // keep the backoff of a node that may be listed again
}

// dialLoop makes missing connections. It returns when there are none and none is wanted.
func (n *node) dialLoop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		index, wait, more := n.plan()
		switch {
		case !more:
			return
		case index >= 0:
			n.connect(index)
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-n.wakeup:
		case <-n.c.done:
			return
		}
	}
}

// plan returns the index of the link to make, or -1 and the time to wait. more is false when dialLoop must return.
func (n *node) plan() (index int, wait time.Duration, more bool) {
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
		return -1, idleWait, some
	case missing < 0:
		return -1, idleWait, true
	}
	wait = time.Until(n.backoff.soonest)
	if wait > 0 && (n.backoff.failures > 0 || n.paced || !n.demanded) {
		return -1, wait, true
	}
	return missing, 0, true
}

// connect dials the link with an index.
func (n *node) connect(index int) {
	ctx, cancel := context.WithTimeout(context.Background(), n.c.dialTimeout())
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
			n.set(n.disconnected())
		}
	case n.closed || n.unlisted.Load():
		n.mu.Unlock()
		l.end()
		return
	default:
		l.unlisted, l.free = &n.unlisted, n.release
		n.links.inUse[index].Store(l)
		n.drained, n.err = false, nil
		n.set(ready)
		n.sweep()
	}
	n.mu.Unlock()
}

// onChange implements wire.ConnOptions.OnChange.
func (n *node) onChange() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sweep()
	n.wake()
}

// sweep takes draining and ended links out of use. It needs n.mu.
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
		n.set(n.disconnected())
	}
}

// lost handles the end of a link. It is no failure if the peer drains or closed the idle link cleanly. It needs n.mu.
func (n *node) lost(l *link) {
	l.left.Store(true)
	clean, long := l.Draining() || l.EndedIdle(), time.Since(l.born) >= stableAfter
	n.drained, n.paced = !l.hasEnded(), clean && !long
	switch {
	case n.drained:
		n.err = errDraining
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

// retire closes a link, and returns false if it has calls. It needs n.mu.
func (n *node) retire(l *link) bool {
	if n.closed || l.closing.Swap(true) {
		return true
	}
	if l.calls.Load() > 0 && !l.hasEnded() {
		l.closing.Store(false) // a call that take refused meanwhile releases it
		return false
	}
	n.links.remove(l)
	if !n.c.spawnJob(l.end) {
		n.links.leave(l) // the client is being closed and will end it
	}
	return true
}

// release closes a link that is out of use, after its last call.
func (n *node) release(l *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.unused() {
		n.retire(l)
		n.wake()
	}
}

func (n *node) disconnected() state {
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
	case n.wakeup <- struct{}{}:
	default: // already woken
	}
}

// close closes the node and returns its links, which the caller must end.
func (n *node) close() []*link {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	if n.cancel != nil {
		n.cancel()
	}
	return n.links.all()
}

// all returns the links.
func (n *node) all() []*link {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.links.all()
}
