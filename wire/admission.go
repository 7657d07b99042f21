package wire

import "github.com/easymicro/easymicro/wire/code"

// dispatch has t run, as soon as it may, or refuses it when there is no room for it. It is called by the reader.
func (c *serverConn) dispatch(t *task) {
	t.seq, t.oneWay = t.req.Seq, t.req.OneWay
	if !t.oneWay {
		t.answer = c.share.newAnswer(t.req.Service, t.req.Method, len(t.req.Payload))
	}
	if c.enter(t) || c.enterSoon(t) {
		return
	}
	c.srv.observer.WireError(code.ReasonOverloaded)
	c.mu.Lock()
	c.know(&t.req)
	var why *code.Error
	if !c.flight.fits(t) {
		why = c.flight.refusal(c.srv.host)
	}
	c.mu.Unlock()
	if why == nil { // it is the host that has no room
		why = c.srv.budget.Refuse(c.srv.host)
	}
	c.refuse(&t.req, why)
	c.drop(t)
}

// enterSoon waits a moment for room. A new connection does not wait with its calls for those of others to end: else a flood
// of such would be held here.
func (c *serverConn) enterSoon(t *task) bool {
	if !c.share.served.Load() && c.fits(t) {
		return false
	}
	return c.room.soon(func() bool { return c.enter(t) })
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
