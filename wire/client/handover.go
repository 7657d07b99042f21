package client

import (
	"context"
	"sync"
	"time"
)

const (
	// handoverTimeout bounds a dial that no call waits for.
	handoverTimeout = 10 * time.Second
	// handoverRetry is how long endpoints that cannot be reached are tried again.
	handoverRetry = time.Second
	// handoverDials bounds the concurrent dials, since a TLS handshake takes CPU time.
	handoverDials = 32
)

// handover connects a client to the endpoints of the services that another client calls.
type handover struct {
	c       *catalog
	was     map[netAddress]bool // the nodes of the other client; true: connected
	dials   chan struct{}
	retried time.Time // until then
	over    sync.WaitGroup
}

// service connects the endpoints of a service. It does not wait for those that the other client could not reach.
func (h *handover) service(ctx context.Context, name string) {
	s, err := h.c.addService(name, true)
	if err != nil {
		return
	}
	s.lookup.join()
	waiting, cancel := context.WithDeadline(ctx, h.retried)
	defer cancel()
	if s.wait(waiting) != nil {
		return
	}
	for _, m := range s.list.Load().members {
		if connected, known := h.was[m.node.netAddress]; known && !connected {
			m.node.slowDial.Store(true) // calls prefer other nodes until it has ended
			_, _ = m.node.demand()
			continue
		}
		h.over.Go(func() { h.connect(ctx, m.node) })
	}
}

func (h *handover) connect(ctx context.Context, n *node) {
	select {
	case h.dials <- struct{}{}:
		defer func() { <-h.dials }()
	case <-ctx.Done():
		return
	}
	for {
		l, err := n.await(ctx, false, nil)
		if err == nil {
			l.give()
			return
		}
		in, _ := n.downReason()
		if in <= 0 || time.Now().Add(in).After(h.retried) {
			return
		}
		select {
		case <-time.After(in):
			n.redialNow()
		case <-ctx.Done():
			return
		case <-h.c.done:
			return
		}
	}
}
