package client

import (
	"errors"
	"math"
	"math/rand/v2"
	"time"
)

var (
	errAsked = errors.New("it drains: it has asked to call elsewhere")
	errIdle  = errors.New("it has closed the connection, on which there was no call")
)

// onChange is called by connections that drain or have ended.
func (n *node) onChange() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sweep()
	n.wake()
}

// sweep takes the links that drain or have ended out of use. It needs n.mu.
func (n *node) sweep() {
	connected := false
	for i := range n.links {
		l := n.links[i].Load()
		switch {
		case l == nil:
		case l.hasEnded() || l.Draining():
			n.links[i].Store(nil)
			n.lost(l)
		default:
			connected = true
		}
	}
	for l := range n.leaving {
		if l.hasEnded() {
			n.retire(l)
		}
	}
	if connected || state(n.state.Load()) != ready {
		return
	}
	if n.failures == 0 {
		n.set(reconnecting)
	} else {
		n.set(n.away())
	}
}

// lost needs n.mu. A connection that the peer has ended in good order, with a drain frame or between two calls, is no
// failure: it may be back at once.
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
	switch {
	case n.paced:
		n.failures = 0
		n.soonest = n.allowed(time.Now())
	case long:
		n.failures = 0
		n.soonest = time.Now().Add(rand.N(redialSpread))
	default:
		n.backOff()
	}
	if !n.retire(l) {
		n.leave(l)
	}
}

// failed says that a dial has failed. It needs n.mu.
func (n *node) failed() {
	n.backOff()
	for i := range n.links {
		if n.links[i].Load() != nil {
			return
		}
	}
	n.set(n.away())
}

func (n *node) away() state {
	if n.drained {
		return draining
	}
	return backoff
}

// backOff needs n.mu.
func (n *node) backOff() {
	d := min(float64(firstBackoff)*math.Pow(backoffFactor, float64(n.failures)), float64(backoffCap))
	n.failures++
	n.soonest = n.allowed(time.Now().Add(jittered(time.Duration(d))))
}

// set needs n.mu.
func (n *node) set(s state) {
	if s != connecting {
		n.tardy.Store(false)
	}
	n.state.Store(int32(s))
	n.tell()
}

// tell wakes the calls that wait for a connection. It needs n.mu.
func (n *node) tell() {
	if n.changed != nil {
		close(n.changed)
		n.changed = nil
	}
}

func (n *node) wake() {
	select {
	case n.kick <- struct{}{}:
	default: // it has been woken and has not looked yet
	}
}

// close ends the node. What is returned is still to be closed.
func (n *node) close() []*link {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	if n.cancel != nil {
		n.cancel()
	}
	return n.list()
}

// all are its connections.
func (n *node) all() []*link {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.list()
}

// list needs n.mu.
func (n *node) list() (all []*link) {
	for i := range n.links {
		if l := n.links[i].Load(); l != nil {
			all = append(all, l)
		}
	}
	for l := range n.leaving {
		all = append(all, l)
	}
	return all
}
