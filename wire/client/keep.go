package client

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net"
	"time"

	"github.com/easymicro/easymicro/wire"
)

var errAsked = errors.New("it drains: it has asked to call elsewhere")

// keep makes the connections that are missing, for as long as there are any or some are wanted.
func (n *node) keep() {
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

const noHurry = time.Minute

// plan is the link to be made now, or how long there is nothing to do. more is false when keep ends.
func (n *node) plan() (slot int, wait time.Duration, more bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	missing, some := -1, len(n.leaving) > 0
	for i := range n.links {
		if n.links[i].Load() != nil {
			some = true
		} else if missing < 0 {
			missing = i
		}
	}
	switch {
	case n.closed:
		return 0, 0, false
	case n.unlisted.Load() || !n.demanded && !n.wanted():
		if !some {
			n.keeping = false
			n.set(idle)
		}
		return -1, noHurry, some
	case missing < 0:
		return -1, noHurry, true
	}
	wait = time.Until(n.soonest)
	if wait > 0 && (n.failures > 0 || !n.demanded) {
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
	n.mu.Unlock()
	nc, err := n.c.dial(ctx, n.network, n.address)
	if err != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.demanded = false
		n.err = err
		n.failed()
		return
	}
	n.connected(slot, nc)
}

func (n *node) connected(slot int, nc net.Conn) {
	o := wire.ConnOptions{
		Limits: n.c.o.Limits, KeepaliveInterval: n.c.o.KeepaliveInterval, KeepaliveTimeout: n.c.o.KeepaliveTimeout,
		OnChange: n.onChange,
	}
	if n.c.o.Compression == wire.Zstd {
		o.AcceptCompression = []wire.Compression{wire.Zstd}
	}
	l := &link{Conn: wire.NewConn(nc, o), node: n, born: time.Now()}
	n.mu.Lock()
	n.demanded = false
	if n.closed || n.unlisted.Load() {
		n.mu.Unlock()
		_ = l.Close()
		return
	}
	n.links[slot].Store(l)
	n.drained, n.err = false, nil
	n.set(ready)
	n.sweep()
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

// lost needs n.mu.
func (n *node) lost(l *link) {
	l.left.Store(true)
	if n.drained = !l.hasEnded(); n.drained {
		n.err = errAsked
	} else {
		n.err = l.Err()
	}
	if time.Since(l.born) >= goodLife {
		n.failures = 0
		n.soonest = time.Now().Add(rand.N(redialSpread))
	} else {
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
	n.soonest = time.Now().Add(jittered(time.Duration(d)))
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
	var all []*link
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
