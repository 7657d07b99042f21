package wire

import (
	"context"
	"sync"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// cutWait is how long a closing connection waits for handlers to notice that their calls are cancelled.
const cutWait = time.Second

// serverCalls admits the calls of one connection, has workers run them, and ends them with the connection.
type serverCalls struct {
	ctx    context.Context //nolint:containedctx // the parent of the calls, as of a net/http server
	pool   *workers
	from   origin
	share  *Share
	out    *responder
	budget *readBudget // belongs to the reader

	mu          sync.Mutex
	peer        clientInfo
	flight      flight
	rejecting   bool          // no more calls are accepted
	unheard     bool          // no answer reaches the peer: only one-way calls begin
	ended       bool          // no more calls begin
	searching   int           // workers between two calls
	lookPending bool          // a timer for the next look at the budget runs
	quietSince  time.Time     // when the last call in flight ended
	stopped     bool          // the reader waits for the peer to take answers
	resumed     chan struct{} // wakes it
	changed     chan struct{} // closed when a call ends, or all are to; made by a waiter
}

func (c *serverCalls) init(maxInFlight int) {
	c.peer = clientInfo{last: HeartbeatSeq, begun: HeartbeatSeq}
	c.flight.max = maxInFlight
	c.resumed = make(chan struct{}, 1)
	c.out.out.backlog.share, c.out.out.backlog.relaxed = c.share, c.proceed
}

// dispatch queues t, or refuses it when there is no room. It is called by the reader.
func (c *serverCalls) dispatch(t *task) {
	t.seq, t.oneWay = t.req.Seq, t.req.OneWay
	if !t.oneWay {
		t.answer = newReservation(c.share, t.req.Service, t.req.Method, len(t.req.Payload), 1)
	}
	if c.enter(t) || c.enterSoon(t) {
		return
	}
	env := c.out.env
	env.observer.WireError(code.ReasonOverloaded)
	c.mu.Lock()
	c.accept(&t.req)
	var why *code.Error
	if !c.flight.fits(t) {
		why = c.flight.refusal(env.host)
	}
	c.mu.Unlock()
	if why == nil { // the connection has room, the host has none
		why = env.budget.Refuse(env.host)
	}
	c.out.refuse(&t.req, why)
	t.release(c.share)
}

// enterSoon waits a moment for room in the budget. A new connection does not, so that a flood of connections does not keep
// its readers waiting.
func (c *serverCalls) enterSoon(t *task) bool {
	if !c.share.served.Load() && c.fits(t) {
		return false
	}
	return c.budget.retry(func() bool { return c.enter(t) })
}

// fits reports whether the connection itself has room for t.
func (c *serverCalls) fits(t *task) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flight.fits(t)
}

// enter adds t to the calls in flight, or releases it when no more are accepted. It reports false when there is no room.
func (c *serverCalls) enter(t *task) bool {
	if !t.charge(c.share) {
		return false
	}
	c.mu.Lock()
	if c.ended || c.rejecting || c.unheard && !t.oneWay {
		c.mu.Unlock()
		t.release(c.share)
		return true
	}
	if !c.flight.fits(t) {
		c.mu.Unlock()
		t.uncharge(c.share)
		return false
	}
	c.accept(&t.req)
	c.flight.add(t)
	c.out.inFlight.Store(int32(c.flight.n))
	wake := c.wantsWorker()
	c.mu.Unlock()
	if wake {
		c.pool.wake(c)
	}
	return true
}

// accept learns from a request. It needs c.mu.
func (c *serverCalls) accept(req *Frame) {
	if c.peer.accept(req) {
		c.out.intro.want()
	}
}

// work runs queued calls until there are none. While a call may begin, some worker is searching: one that is about to run a
// call, which may block, wakes another first. The caller has counted this worker as searching.
func (c *serverCalls) work(w *worker) {
	for {
		c.mu.Lock()
		c.searching--
		if !c.mayBegin() {
			c.mu.Unlock()
			return
		}
		t := c.flight.next()
		c.peer.begun = t.seq
		t.call = newServerCall(c.ctx, &c.from, c.out, t, w.timer) // under c.mu, so that end sees it
		wake := c.wantsWorker()
		c.mu.Unlock()
		if wake {
			c.pool.wake(c)
		}
		c.run(t, w)
	}
}

// mayBegin reports whether a call may begin now. None does while the peer takes no answers, and one whose answer will be
// long waits until there is room for it. It needs c.mu.
func (c *serverCalls) mayBegin() bool {
	if !c.flight.canRun() || c.unheard {
		return c.flight.canRun()
	}
	backlog := &c.out.out.backlog
	if backlog.congested.Load() {
		return false
	}
	t := c.flight.waiting
	begins, over := t.answer.look(backlog.waiting.Load())
	t.refused = over
	if begins || over || t.pointless() {
		return true
	}
	c.lookLater()
	return false
}

// lookLater checks the next call again in a moment, since nothing signals that other connections have given bytes
// back. It needs c.mu.
func (c *serverCalls) lookLater() {
	if c.lookPending {
		return
	}
	c.lookPending = true
	time.AfterFunc(retryStep, func() {
		c.share.budget.relieve()
		c.mu.Lock()
		c.lookPending = false
		c.mu.Unlock()
		c.proceed()
	})
}

// wantsWorker reports whether the caller has to wake a worker, and counts that as searching. It needs c.mu.
func (c *serverCalls) wantsWorker() bool {
	if c.searching > 0 || !c.mayBegin() {
		return false
	}
	c.searching++
	return true
}

// proceed has the reader and a worker go on, after the peer has taken answers or bytes were given back.
func (c *serverCalls) proceed() {
	c.mu.Lock()
	c.resume()
	wake := c.wantsWorker()
	c.mu.Unlock()
	if wake {
		c.pool.wake(c)
	}
}

// run runs the handler and answers. The deferred part runs even when the handler panics or ends its goroutine.
func (c *serverCalls) run(t *task, w *worker) {
	call := t.call
	var err error
	returned, ending := false, false
	defer func() {
		if !returned {
			value := recover()
			ending = value == nil
			err = call.crashed(t, value)
		}
		call.settle(t, err)
		if w.timer.spent {
			w.timer = new(callTimer)
		}
		c.done(t, ending)
	}()
	if e := code.From(call.handle(t)); e != nil { // here, since the methods of an error are the handler's code, too
		err = e
	}
	returned = true
}

// done removes t from the calls in flight. Its worker searches for another call, unless its goroutine is ending.
func (c *serverCalls) done(t *task, ending bool) {
	c.mu.Lock()
	c.flight.done(t)
	c.out.inFlight.Store(int32(c.flight.n))
	if c.flight.n == 0 {
		c.quietSince = time.Now()
	}
	c.notify()
	wake := false
	if ending {
		wake = c.wantsWorker()
	} else {
		c.searching++
	}
	c.mu.Unlock()
	t.release(c.share)
	if wake {
		c.pool.wake(c)
	}
}

// cancel cancels the call with a sequence.
func (c *serverCalls) cancel(seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.flight.find(seq)
	switch {
	case t == nil:
	case t.call == nil:
		t.cancelled = true
	default:
		t.call.cancel(context.Canceled)
	}
}

// end drops the calls that have not begun and cancels the others. One-way calls go on unless all is set: they need no
// answer.
func (c *serverCalls) end(all bool) {
	c.mu.Lock()
	if c.unheard && (c.ended || !all) {
		c.mu.Unlock()
		return
	}
	c.unheard, c.ended = true, all
	dropped := c.flight.drop(all)
	c.out.inFlight.Store(int32(c.flight.n))
	for t := c.flight.first; t != nil; t = t.next {
		if t.call != nil && (all || !t.oneWay) {
			t.call.cancel(context.Canceled)
		}
	}
	c.notify()
	c.resume()
	wake := c.wantsWorker()
	c.mu.Unlock()
	if wake {
		c.pool.wake(c)
	}
	for _, t := range dropped {
		t.release(c.share)
	}
}

// reject accepts no more calls and drops those that have not begun. unread reports whether the peer may
// send calls elsewhere.
func (c *serverCalls) reject() (dropped []*task, unread bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rejecting = true
	dropped = c.flight.drop(true)
	c.out.inFlight.Store(int32(c.flight.n))
	unread = c.stopped || dropped != nil
	if dropped != nil {
		c.peer.last = c.peer.begun
	}
	c.resume()
	return dropped, unread
}

// stopReader reports whether the reader has to wait until resumed, because the peer takes no answers. What an unreachable
// peer has left behind is read.
func (c *serverCalls) stopReader() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = !c.rejecting && !c.unheard && c.out.out.backlog.congested.Load()
	return c.stopped
}

// resume needs c.mu.
func (c *serverCalls) resume() {
	if c.stopped {
		c.stopped = false
		select {
		case c.resumed <- struct{}{}:
		default: // woken already
		}
	}
}

// wait waits until is reports true; it is called with c.mu held whenever a call has ended.
func (c *serverCalls) wait(timeout <-chan time.Time, is func() bool) {
	for {
		c.mu.Lock()
		if is() {
			c.mu.Unlock()
			return
		}
		if c.changed == nil {
			c.changed = make(chan struct{})
		}
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-timeout:
			return
		}
	}
}

// notify needs c.mu.
func (c *serverCalls) notify() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// waitAnswered waits until the calls that were read have been answered, or the connection is broken.
func (c *serverCalls) waitAnswered() {
	c.wait(nil, func() bool { return c.flight.n == 0 || c.unheard })
}

// waitEnd waits until no calls are in flight, but not for handlers that ignore the end of their context.
func (c *serverCalls) waitEnd() {
	c.wait(nil, func() bool { return c.flight.n == 0 || c.ended || c.flight.oneWay == 0 })
	enough := time.NewTimer(cutWait)
	defer enough.Stop()
	c.wait(enough.C, func() bool { return c.flight.n == 0 })
}

// quietFrom returns the later of t and the end of the last call, or now while calls are in flight or answers are queued.
func (c *serverCalls) quietFrom(t, now time.Time) time.Time {
	c.mu.Lock()
	busy, since := c.flight.n > 0, c.quietSince
	c.mu.Unlock()
	if busy || !c.out.out.idle() {
		return now
	}
	return latest(t, since)
}

// peerInfo returns a copy of what is known of the client, and whether calls are in flight.
func (c *serverCalls) peerInfo() (peer clientInfo, busy bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer, c.flight.n > 0
}

// answerHeartbeat turns f, a heartbeat of the peer, into its response.
func (c *serverCalls) answerHeartbeat(f *Frame) {
	f.Type = Response
	if !hasKeyOfOurs(f.Metadata) {
		return // stock clients get it back as it came
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peer.answerHeartbeat(f, c.out.env.host)
}
