package wire

import (
	"errors"
	"time"
)

// lifeSign is the time between the heartbeats of a connection that is not read.
const lifeSign = 2 * time.Second

// read reads frames and hands them on until the connection ends.
func (c *serverConn) read() error {
	for {
		if err := c.waitRoom(); err != nil {
			return err
		}
		if err := c.in.wait(); err != nil {
			return err
		}
		t := tasks.Get().(*task) // not before there is something for it: idle connections hold none
		err := c.in.Read(&t.req)
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

// wait waits for the first byte of a frame. Its errors are those of Read.
func (r *Reader) wait() error {
	r.told, r.begun = false, false
	return r.fill(1)
}

// take handles one sound frame. Responses have no place here and are ignored.
func (c *serverConn) take(t *task) {
	switch {
	case t.req.Type != Request:
		t.recycle()
	case t.req.Heartbeat:
		if !t.req.OneWay {
			c.greet(&t.req)
			c.send(&t.req)
		}
		t.recycle()
	default:
		t.arrived = c.wait.lastRead
		c.dispatch(t)
	}
}

// overLimit answers a request that is sound, but over a limit. All other errors are returned: they end the connection.
func (c *serverConn) overLimit(t *task, err error) error {
	defer t.recycle()
	var bad *FrameError
	if !errors.As(err, &bad) || bad.Fatal {
		return err
	}
	c.srv.observer.WireError(bad.Reason)
	if t.req.Type == Request && !t.req.OneWay && bad.Answer != nil {
		f := Frame{Type: Response, Seq: t.req.Seq, Service: t.req.Service, Method: t.req.Method, Codec: t.req.Codec}
		SetError(&f, bad.Answer)
		c.send(&f)
	}
	return nil
}

// waitRoom blocks while too much is in flight. That this is not the end of the connection is told by unasked
// heartbeats, since the peer's own are not read meanwhile.
func (c *serverConn) waitRoom() error {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return errSentClosed
	}
	if !c.full() {
		c.mu.Unlock()
		return nil
	}
	c.stopped = true
	c.mu.Unlock()

	sign := time.NewTicker(lifeSign)
	defer sign.Stop()
	for {
		select {
		case <-c.room:
			return nil
		case <-sign.C:
			c.mu.Lock()
			original := c.mayBeOriginal()
			c.mu.Unlock()
			if original {
				continue
			}
			c.send(&Frame{Type: Response, Heartbeat: true, Seq: HeartbeatSeq})
		case <-c.wait.kicked:
			c.tellDrain()
		}
	}
}
