package wire

import (
	"errors"
)

// read reads frames and hands them on until the connection ends.
func (c *serverConn) read() error {
	for {
		if err := c.waitTaken(); err != nil {
			return err
		}
		if err := c.in.wait(); err != nil {
			return err
		}
		t := tasks.Get().(*task) // not before there is something for it: idle connections hold none
		err := c.in.Read(&t.req)
		t.held, t.place = c.in.handOver(), c.room.handOver()
		c.wait.frameRead()
		if err == nil {
			c.take(t)
		} else if err := c.overLimit(t, err); err != nil {
			return err
		}
		if c.wait.toTell.Load() {
			c.tellDrain()
		}
	}
}

// take handles one sound frame. Responses have no place here and are ignored.
func (c *serverConn) take(t *task) {
	switch {
	case t.req.Type != Request:
		c.drop(t)
	case t.req.Heartbeat:
		if !t.req.OneWay {
			c.greet(&t.req)
			c.send(&t.req)
		}
		c.drop(t)
	case t.req.OneWay && t.req.Service == CancelPath:
		c.cancel(t.req.Seq)
		c.drop(t)
	default:
		t.arrived = c.wait.lastRead
		c.dispatch(t)
	}
}

// overLimit answers a request that is sound, but over a limit. All other errors are returned: they end the connection.
func (c *serverConn) overLimit(t *task, err error) error {
	defer c.drop(t)
	var bad *FrameError
	if !errors.As(err, &bad) || bad.Fatal {
		return err
	}
	c.srv.observer.WireError(bad.Reason)
	if t.req.Type == Request && bad.Answer != nil {
		c.refuse(&t.req, bad.Answer)
	}
	return nil
}

// waitTaken blocks while the peer takes no answers. What a peer that is gone has left behind is read.
func (c *serverConn) waitTaken() error {
	for {
		c.mu.Lock()
		if c.closing.Load() {
			c.mu.Unlock()
			return errSentClosed
		}
		c.stopped = !c.deaf && !c.gone && c.out.backlog.crowded.Load()
		stopped := c.stopped
		c.mu.Unlock()
		if !stopped {
			return nil
		}
		select {
		case <-c.taken:
		case <-c.wait.kicked:
			c.tellDrain()
		}
	}
}

// resume has the reader go on if it waits for the peer. It needs c.mu.
func (c *serverConn) resume() {
	if c.stopped {
		c.stopped = false
		select {
		case c.taken <- struct{}{}:
		default: // it has been told, and has not looked yet
		}
	}
}
