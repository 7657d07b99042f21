package wire

import (
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

const (
	mostWait   = 100 * time.Millisecond // for so long a connection is left unread while there is no room for what was read,
	waitWindow = time.Second            // of each second
	waitStep   = 10 * time.Millisecond
)

// soon repeats try for a moment, until it succeeds.
func soon(try func() bool) bool {
	for range mostWait / waitStep {
		time.Sleep(waitStep)
		if try() {
			return true
		}
	}
	return false
}

// dispatch has t run, as soon as it may, or refuses it when there is no room for it. It is called by the reader.
func (c *serverConn) dispatch(t *task) {
	t.seq, t.oneWay = t.req.Seq, t.req.OneWay
	if c.enter(t) || c.enterSoon(t) {
		return
	}
	c.srv.observer.WireError(code.ReasonOverloaded)
	c.mu.Lock()
	c.know(&t.req)
	fits := c.flight.fits(t)
	c.mu.Unlock()
	switch {
	case t.oneWay && fits:
		c.srv.budget.refused.Add(1)
	case t.oneWay: // gets no answer
	case fits:
		c.refuse(&t.req, c.srv.budget.Refuse(c.srv.host))
	default:
		c.refuse(&t.req, c.flight.refusal(c.srv.host))
	}
	c.drop(t)
}

// enterSoon waits a moment for room, but no more than for a tenth of the time: heartbeats wait behind it. It does not wait
// with the calls of a new connection for those of others, which would be to hold what floods consist of.
func (c *serverConn) enterSoon(t *task) bool {
	now := time.Now()
	if now.Sub(c.waitedFrom) >= waitWindow {
		c.waitedFrom, c.waited = now, 0
	}
	if c.waited >= mostWait || !c.share.proven.Load() && c.fits(t) {
		return false
	}
	entered := soon(func() bool { return c.enter(t) })
	c.waited += time.Since(now)
	return entered
}

// fits reports whether the connection itself has room for t.
func (c *serverConn) fits(t *task) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flight.fits(t)
}

// enter puts t among the calls in flight, or drops it when nothing is accepted any longer. It reports false when there is
// no room.
func (c *serverConn) enter(t *task) bool {
	if !c.charge(t) {
		return false
	}
	c.mu.Lock()
	if c.ended || c.deaf || c.gone && !t.oneWay {
		c.mu.Unlock()
		c.drop(t)
		return true
	}
	if !c.flight.fits(t) {
		c.mu.Unlock()
		c.uncharge(t)
		return false
	}
	c.know(&t.req)
	c.flight.add(t)
	wake := c.wantsWorker()
	c.mu.Unlock()
	if wake {
		c.srv.pool.wake(c)
	}
	return true
}

// charge takes from the budget what t holds.
func (c *serverConn) charge(t *task) bool {
	if !c.share.TakeCall() {
		return false
	}
	t.counted = true
	if c.srv.budget.Short() {
		t.slim() // the memory may be that of a longer request, of another connection
	}
	more := t.size() - t.held
	if more > 0 && !c.share.TakeBytes(more) {
		if more = t.slim() - t.held; more > 0 && !c.share.TakeBytes(more) {
			c.uncharge(t)
			return false
		}
	}
	t.held += max(more, 0)
	return true
}

// uncharge gives the place of t back. Its bytes stay where they are until it is dropped.
func (c *serverConn) uncharge(t *task) {
	c.share.returnCall()
	t.counted = false
}

// refuse answers a request that is not run, if it wants an answer.
func (c *serverConn) refuse(req *Frame, e *code.Error) {
	if req.OneWay {
		return
	}
	c.send(refusal(req, e))
}

// refusal is the response to a request that is not run.
func refusal(req *Frame, e *code.Error) *Frame {
	f := &Frame{Type: Response, Seq: req.Seq, Service: req.Service, Method: req.Method, Codec: req.Codec}
	SetError(f, e)
	return f
}

// grow takes n bytes for a frame that is being read. Of the frames for which there is not enough the oldest gets them all
// the same, so that not all are stuck halfway.
func (c *serverConn) grow(n int) *FrameError {
	if c.share.TakeBytes(int64(n)) {
		return nil
	}
	if c.place == 0 {
		c.place = c.srv.budget.queueUp()
	}
	first := func() bool {
		if !c.srv.budget.isFirst(c.place) {
			return c.share.TakeBytes(int64(n))
		}
		c.share.add(int64(n))
		return true
	}
	if first() || soon(first) {
		return nil
	}
	c.frameDone()
	return &FrameError{Reason: code.ReasonOverloaded, Answer: c.srv.budget.Refuse(c.srv.host), detail: "no room for it"}
}

func (c *serverConn) tryGrow(n int) bool { return c.share.TakeBytes(int64(n)) }

func (c *serverConn) shrink(n int) { c.share.Give(int64(n)) }

// frameDone is called when nothing of a frame is left to be read.
func (c *serverConn) frameDone() {
	if c.place != 0 {
		c.srv.budget.leave(c.place)
		c.place = 0
	}
}

func (s *Share) takeBytesSoon(n int64) bool {
	return s.TakeBytes(n) || soon(func() bool { return s.TakeBytes(n) })
}
