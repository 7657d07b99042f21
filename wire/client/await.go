package client

import (
	"context"
	"errors"
	"time"
)

var (
	errUnlisted = errors.New("it has left the list of endpoints")
	errTardy    = errors.New("it is not connected yet")
)

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
			n.tardy.Store(true)
			return nil, errTardy
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
	case s == backoff || s == draining:
		return nil, n.err
	case s == ready:
		return nil, nil
	case s == idle:
		n.set(connecting)
	}
	n.demanded = true
	if !n.keeping {
		n.keeping = n.c.spawn(n.keep)
	}
	n.wake()
	if n.changed == nil {
		n.changed = make(chan struct{})
	}
	return n.changed, nil
}
