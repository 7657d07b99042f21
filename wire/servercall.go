package wire

import (
	"runtime/debug"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

const (
	worthCompressing = 1 << 10
	worthCounting    = 1 << 10 // payloads of answers that have not been queued yet
)

// work runs queued calls until there are none. There is always a worker looking while a call may begin: one that is about
// to run a call, which may block, has another look first. The caller has counted this worker as looking.
func (c *serverConn) work(w *worker) {
	for {
		c.mu.Lock()
		c.looking--
		if !c.mayBegin() {
			c.mu.Unlock()
			return
		}
		t := c.flight.next()
		c.begun = t.seq
		t.call = c.newCall(t, w)
		another := c.wantsWorker()
		c.mu.Unlock()
		if another {
			c.srv.pool.wake(c)
		}
		c.run(t, w)
	}
}

// mayBegin reports whether there is a call that may begin now. None does while the peer takes no answers, and one whose answer
// will be long waits a moment until there is room for it. It needs c.mu.
func (c *serverConn) mayBegin() bool {
	if !c.flight.canRun() || c.gone {
		return c.flight.canRun()
	}
	if c.out.backlog.crowded.Load() {
		return false
	}
	t := c.flight.queue.first
	begins, over := t.answer.admit(c.out.backlog.waiting.Load())
	t.refused = over
	if begins || over || t.pointless() {
		return true
	}
	c.lookAgain()
	return false
}

// lookAgain has a look soon whether the next call may begin: nobody says so when others give bytes back. It needs c.mu.
func (c *serverConn) lookAgain() {
	if c.looksAgain {
		return
	}
	c.looksAgain = true
	time.AfterFunc(waitStep, func() {
		c.srv.budget.relieve()
		c.mu.Lock()
		c.looksAgain = false
		c.mu.Unlock()
		c.uncrowded()
	})
}

// wantsWorker reports whether the caller has to wake a worker, which is counted as looking then. It needs c.mu.
func (c *serverConn) wantsWorker() bool {
	if c.looking > 0 || !c.mayBegin() {
		return false
	}
	c.looking++
	return true
}

// uncrowded is called when the peer has taken answers, so that more may be made.
func (c *serverConn) uncrowded() {
	c.mu.Lock()
	c.resume()
	wake := c.wantsWorker()
	c.mu.Unlock()
	if wake {
		c.srv.pool.wake(c)
	}
}

// newCall needs c.mu, so that the call is seen when the connection ends.
func (c *serverConn) newCall(t *task, w *worker) *serverCall {
	call := &serverCall{
		Call:    Call{from: &c.from, arrived: t.arrived, values: c.group.ctx, timer: w.timer},
		conn:    c,
		seq:     t.seq,
		service: t.req.Service,
		method:  t.req.Method,
		codec:   t.req.Codec,
		oneWay:  t.oneWay,
	}
	call.answerer = call
	return call
}

// run runs the handler and answers. What is deferred runs even when the handler panics or ends its goroutine.
func (c *serverConn) run(t *task, w *worker) {
	call := t.call
	var err error
	returned, ending := false, false
	defer func() {
		if !returned {
			value := recover()
			ending = value == nil
			err = c.crashed(t, value)
		}
		switch unanswered := call.finish(); {
		case !unanswered:
			call.awaitEarly()
		case !call.oneWay && !c.lost.Load() && !c.closing.Load():
			c.answer(t, err)
		}
		if w.timer.spent {
			w.timer = new(callTimer)
		}
		c.done(t, ending)
	}()
	if e := code.From(c.handle(t)); e != nil { // here, since the methods of an error are the handler's code, too
		err = e
	}
	returned = true
}

func (c *serverConn) handle(t *task) error {
	if t.cancelled {
		return code.Refuse(code.Cancelled, code.ReasonCancelled, "the caller has cancelled the call", "", c.srv.host, 0)
	}
	if t.refused {
		return c.srv.budget.Refuse(c.srv.host)
	}
	if t.req.Compression != NoCompression {
		if err := c.decompress(t); err != nil {
			return err
		}
	}
	t.res.Codec = t.req.Codec
	return c.srv.handler.Handle(&t.call.Call, &t.req, &t.res)
}

// crashed makes the answer of a handler that panicked, or ended its goroutine, for which recover gives nil.
func (c *serverConn) crashed(t *task, value any) error {
	what := "the handler ended its goroutine"
	if value != nil {
		what = "panic: " + code.PanicText(value)
	}
	t.res.Payload = t.res.Payload[:0]
	c.srv.log.Error("handler crashed", "service", t.call.service, "method", t.call.method, "error", what,
		"stack", string(debug.Stack()))
	return code.Refuse(code.Internal, code.ReasonPanic, "the handler crashed", "", "", 0)
}

// answer sends what the handler made of the call: an error, too, has a reply next to it when there is one, as rpcx has it.
func (c *serverConn) answer(t *task, err error) {
	call, res := t.call, &t.res
	res.Type, res.Seq, res.Service, res.Method = Response, call.seq, call.service, call.method
	res.Heartbeat, res.OneWay, res.Compression, res.Status = false, false, NoCompression, StatusNormal
	res.Codec = call.codec
	if len(res.Payload) > maxPayload {
		res.Payload = nil
		if err == nil {
			err = code.Refuse(code.Internal, code.ReasonBadReply, "the reply does not fit into a frame", "", "", 0)
		}
	}
	if err != nil {
		reply := res.Payload
		SetError(res, code.From(err))
		res.Payload = reply
	}
	t.answer.Made(len(res.Payload), err)
	c.compress(t)
	t.answer.End()
	n := int64(len(res.Payload))
	if n > worthCounting {
		c.share.Hold(n) // it may have to wait for room
	}
	flush := c.post(res)
	if n > worthCounting {
		t.slimAnswer()
		c.share.Give(n)
	}
	if flush {
		c.flush()
	}
}

// compress compresses the reply when the peer understands it and it pays.
func (c *serverConn) compress(t *task) {
	if len(t.res.Payload) < worthCompressing {
		return
	}
	with := t.used
	if with == Zstd {
		with = NoCompression
	}
	if accepts(t.req.Metadata.Get(MetaAcceptCompression), Zstd) {
		with = Zstd
	}
	if with == NoCompression {
		return
	}
	small, err := AppendCompressed(t.plain[:0], with, t.res.Payload)
	if err != nil || len(small) >= len(t.res.Payload) {
		return
	}
	t.plain, t.res.Payload = t.res.Payload, small
	t.res.Compression = with
}

// decompress makes the request of t plain.
func (c *serverConn) decompress(t *task) error {
	used, packed := t.req.Compression, t.req.Payload
	n := int64(DecompressedSize(used, packed, c.lim.MaxDecompressedBytes))
	if !c.share.takeBytesSoon(n) {
		return c.srv.budget.Refuse(c.srv.host)
	}
	t.held += n
	plain, err := Decompress(t.plain[:0], used, packed, c.lim.MaxDecompressedBytes)
	if err != nil {
		c.srv.observer.WireError(code.From(err).Reason)
		return err
	}
	if spare := n - int64(cap(plain)); spare > 0 { // blocks of zstd rarely hold what they could
		c.share.Give(spare)
		t.held -= spare
	}
	t.plain, t.req.Payload = packed, plain
	t.used, t.req.Compression = used, NoCompression
	return nil
}

// done takes t out of the calls in flight. Its worker looks for another call, unless the goroutine is ending.
func (c *serverConn) done(t *task, ending bool) {
	c.mu.Lock()
	c.flight.done(t)
	if c.flight.n == 0 {
		c.quietSince = time.Now()
	}
	c.tellFewer()
	wake := false
	if ending {
		wake = c.wantsWorker()
	} else {
		c.looking++
	}
	c.mu.Unlock()
	c.drop(t)
	if wake {
		c.srv.pool.wake(c)
	}
}

// drop gives back what t holds.
func (c *serverConn) drop(t *task) {
	t.answer.End()
	if t.held > 0 {
		c.share.Give(t.held)
	}
	if t.place != 0 {
		c.srv.budget.leave(t.place)
	}
	switch {
	case t.counted && t.call != nil && !t.refused:
		c.share.GiveCall()
	case t.counted:
		c.share.returnCall()
	}
	t.recycle()
}
