package client

import (
	"context"
	"time"

	"github.com/easymicro/easymicro/wire"
)

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
		switch {
		case n.links[i].Load() != nil:
			some = true
		case missing < 0 && (i < len(n.links)-1 || n.hasLong()):
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
	if wait > 0 && (n.failures > 0 || n.paced || !n.demanded) {
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
	n.dialling()
	n.mu.Unlock()
	l, err := n.meet(ctx)
	if err != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.demanded = false
		n.err = err
		n.failed()
		return
	}
	n.connected(slot, l)
}

// meet dials, and makes sure that it is a server of calls who answers before any call is sent there.
func (n *node) meet(ctx context.Context) (*link, error) {
	nc, err := n.c.dial(context.WithValue(ctx, checkKey{}, n.check), n.network, n.address)
	if err != nil {
		return nil, err
	}
	o := wire.ConnOptions{
		Limits: n.c.o.Limits, KeepaliveInterval: n.c.o.KeepaliveInterval, KeepaliveTimeout: n.c.o.KeepaliveTimeout,
		OnChange: n.onChange,
	}
	if !n.c.o.LowerCase { // which the original's servers want, that say nothing of the kind
		o.OnUnread = n.c.sendAgain
	}
	if n.c.o.Compression == wire.Zstd {
		o.AcceptCompression = []wire.Compression{wire.Zstd}
	}
	l := &link{Conn: wire.NewConn(nc, o), node: n, born: time.Now(), remote: remoteOf(nc)}
	if n.c.o.KeepaliveInterval < 0 {
		return l, nil // peers that answer no heartbeats are called all the same
	}
	if err := l.Ping(ctx); err != nil {
		l.end()
		return nil, err
	}
	return l, nil
}

func (n *node) connected(slot int, l *link) {
	n.mu.Lock()
	n.demanded = false
	if n.closed || n.unlisted.Load() {
		n.mu.Unlock()
		l.end()
		return
	}
	n.links[slot].Store(l)
	n.drained, n.err = false, nil
	n.set(ready)
	n.sweep()
	n.mu.Unlock()
}
