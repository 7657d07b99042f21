package wire

import (
	"context"
	"sync"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// cutWait is how long a closing connection waits for handlers to return after their calls were cancelled.
const cutWait = time.Second

// serverCalls admits the calls of a connection, has its reader or workers run them, and cancels them when the connection
// ends.
type serverCalls struct {
	ctx    context.Context //nolint:containedctx // the parent of the calls, as of a net/http server
	pool   *workers
	from   origin
	share  *Share
	out    *responder
	budget *readBudget // used by the reader only

	mu             sync.Mutex
	peer           clientInfo
	flight         flight
	rejecting      bool          // no calls are accepted
	unreachable    bool          // answers cannot reach the peer: only one-way calls begin
	ended          bool          // no calls begin
	searching      int           // workers about to look for a call
	recheckPending bool          // the timer of recheckLater runs
	quietSince     time.Time     // when the last call ended
	stopped        bool          // the reader waits for the peer to read answers
	resumed        chan struct{} // wakes the reader; made when it first stops
	changed        event         // a call or the connection has ended
}

func (c *serverCalls) init(maxInFlight int) {
	c.peer = clientInfo{last: HeartbeatSeq, begun: HeartbeatSeq}
	c.flight.max = maxInFlight
	c.out.out.backlog.share, c.out.out.backlog.relaxed = c.share, c.proceed
}

// unlock unlocks c.mu, and wakes a worker if wantsWorker has returned true.
func (c *serverCalls) unlock(wake bool) {
	c.mu.Unlock()
	if wake {
		c.pool.wake(c)
	}
}

// dispatch queues t, or refuses it if there is no room. The reader calls it, and must run the call if dispatch reports so,
// which it only does for a call that is inline.
func (c *serverCalls) dispatch(t *task) (run bool) {
	t.seq, t.oneWay = t.req.Seq, t.req.OneWay
	if !t.oneWay {
		t.reserved = newReservation(c.share, t.req.Service, t.req.Method, len(t.req.Payload), 1)
	}
	if c.enter(t, &run) || c.enterSoon(t, &run) {
		return run
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
	if why == nil { // only the host has no room
		why = env.budget.Refuse(env.host)
	}
	c.out.refuse(&t.req, why)
	t.release(c.share)
	return false
}

// enterSoon retries enter for a moment, but not for a new connection: a flood of these must not keep many readers waiting.
func (c *serverCalls) enterSoon(t *task, run *bool) bool {
	c.mu.Lock()
	fits := c.flight.fits(t)
	c.mu.Unlock()
	if fits && !c.share.served.Load() {
		return false
	}
	return c.budget.retry(func() bool { return c.enter(t, run) })
}

// enter adds t to the calls in flight, or releases it if no more are accepted. It returns false if there is no room. It sets
// run if the reader is to run t.
func (c *serverCalls) enter(t *task, run *bool) bool {
	if !t.charge(c.share) {
		return false
	}
	c.mu.Lock()
	if c.ended || c.rejecting || c.unreachable && !t.oneWay {
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
	t.inline = t.inline && c.flight.waiting == t && c.mayBegin()
	if *run = t.inline; *run {
		c.begin()
	}
	c.unlock(c.wantsWorker())
	return true
}

// begin begins the next call. It needs c.mu.
func (c *serverCalls) begin() *task {
	t := c.flight.next()
	c.peer.begun = t.seq
	t.call.begin(c.ctx, &c.from, c.out, t)
	t.begun = true
	return t
}

// accept records a request. It needs c.mu.
func (c *serverCalls) accept(req *Frame) {
	if c.peer.accept(req) {
		c.out.intro.want()
	}
}

// work runs queued calls until none may begin. While one may, some worker is searching: before a worker runs a call, which
// may block, it wakes another. The caller has counted this worker as searching.
func (c *serverCalls) work(w *worker) {
	for {
		c.mu.Lock()
		c.searching--
		if !c.mayBegin() {
			c.mu.Unlock()
			return
		}
		t := c.begin()
		wake := c.wantsWorker()
		c.mu.Unlock()
		if wake {
			c.pool.wake(c)
		}
		c.run(t, w)
	}
}

// mayBegin reports whether a call may begin now. None may while the peer does not read answers, and one with a long answer
// waits for room in the budget. It needs c.mu.
func (c *serverCalls) mayBegin() bool {
	if !c.flight.canRun() || c.unreachable {
		return c.flight.canRun()
	}
	backlog := &c.out.out.backlog
	if backlog.congested.Load() {
		return false
	}
	t := c.flight.waiting
	begins, over := t.reserved.look(backlog.waiting.Load())
	t.refused = over
	if begins || over || t.abandoned() {
		return true
	}
	c.recheckLater()
	return false
}

// recheckLater checks the next call again after retryStep: no signal shows that other connections have returned bytes. It needs
// c.mu.
func (c *serverCalls) recheckLater() {
	if c.recheckPending {
		return
	}
	c.recheckPending = true
	time.AfterFunc(retryStep, func() {
		c.share.budget.relieve()
		c.mu.Lock()
		c.recheckPending = false
		c.mu.Unlock()
		c.proceed()
	})
}

// wantsWorker reports whether the caller must wake a worker, and counts that worker as searching. It needs c.mu.
func (c *serverCalls) wantsWorker() bool {
	if c.searching > 0 || !c.mayBegin() {
		return false
	}
	c.searching++
	return true
}

// proceed wakes the reader and a worker, after the peer has read answers or bytes were returned.
func (c *serverCalls) proceed() {
	c.mu.Lock()
	c.resume()
	wake := c.wantsWorker()
	c.unlock(wake)
}

// run calls the handler and sends the answer, even if the handler panics or ends its goroutine. If the reader runs the call,
// run reports whether the connection is still its own to read, and whether it has to flush. Otherwise the goroutine counts as
// a searching worker afterwards.
func (c *serverCalls) run(t *task, w *worker) (reads, flush bool) {
	call := &t.call
	w.call = &call.Call
	w.enterWatch()
	var err error
	returned, ending := false, false
	defer func() {
		if !returned {
			value := recover()
			ending = value == nil
			err = call.crashed(t, value)
		}
		flush = call.complete(t, err)
		if flush && !t.flushLater {
			c.out.flush()
			flush = false
		}
		reads = w.leaveWatch() && t.inline
		w.call = nil
		if flush && (!reads || ending) { // this goroutine does not read on, and so does not flush later
			c.out.flush()
		}
		c.done(t, reads, ending)
		if reads && ending { // another goroutine has to read
			c.pool.wake(w.reading)
		}
	}()
	if e := code.From(call.handle(t)); e != nil { // within the deferred recover: methods of an error may panic, too
		err = e
	}
	returned = true
	return false, false
}

// done removes t from the calls in flight, and counts its worker as searching unless it reads on or its goroutine is ending.
func (c *serverCalls) done(t *task, reads, ending bool) {
	c.mu.Lock()
	c.flight.done(t)
	c.out.inFlight.Store(int32(c.flight.n))
	if c.flight.n == 0 {
		c.quietSince = time.Now()
	}
	c.changed.fire()
	if !reads && !ending {
		c.searching++
	}
	c.unlock(c.wantsWorker())
	t.release(c.share)
}

// cancel cancels the call with a sequence.
func (c *serverCalls) cancel(seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.flight.find(seq)
	switch {
	case t == nil:
	case !t.begun:
		t.cancelled = true
	default:
		t.call.cancel(context.Canceled)
	}
}

// end drops the calls that have not begun and cancels the others. It keeps one-way calls, which need no answer, unless all
// is set.
func (c *serverCalls) end(all bool) {
	c.mu.Lock()
	if c.unreachable && (c.ended || !all) {
		c.mu.Unlock()
		return
	}
	c.unreachable, c.ended = true, all
	dropped := c.flight.drop(all)
	c.out.inFlight.Store(int32(c.flight.n))
	for t := c.flight.first; t != nil; t = t.next {
		if t.begun && (all || !t.oneWay) {
			t.call.cancel(context.Canceled)
		}
	}
	c.changed.fire()
	c.resume()
	wake := c.wantsWorker()
	c.unlock(wake)
	for _, t := range dropped {
		t.release(c.share)
	}
}

// reject accepts no more calls and drops those that have not begun. unread reports whether the peer may have to send calls
// elsewhere.
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

// stopReader reports whether the reader must wait for resumed because the peer does not read answers. It need not when the
// peer is unreachable.
func (c *serverCalls) stopReader() bool {
	if !c.out.out.backlog.congested.Load() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = !c.rejecting && !c.unreachable && c.out.out.backlog.congested.Load()
	if c.stopped && c.resumed == nil {
		c.resumed = make(chan struct{}, 1)
	}
	return c.stopped
}

// resume needs c.mu.
func (c *serverCalls) resume() {
	if c.stopped {
		c.stopped = false
		select {
		case c.resumed <- struct{}{}:
		default: // already woken
		}
	}
}

// wait waits until done returns true, or timeout. It calls done with c.mu held, whenever a call has ended.
func (c *serverCalls) wait(timeout <-chan time.Time, done func() bool) {
	for {
		c.mu.Lock()
		if done() {
			c.mu.Unlock()
			return
		}
		changed := c.changed.next()
		c.mu.Unlock()
		select {
		case <-changed:
		case <-timeout:
			return
		}
	}
}

// waitAnswered waits until all calls have been answered, or the connection is broken.
func (c *serverCalls) waitAnswered() {
	c.wait(nil, func() bool { return c.flight.n == 0 || c.unreachable })
}

// waitEnd waits until no call is in flight, for cancelled ones at most cutWait.
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

// peerInfo returns a copy of the client's info, and whether calls are in flight.
func (c *serverCalls) peerInfo() (peer clientInfo, busy bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer, c.flight.n > 0
}

// answerHeartbeat turns f, a heartbeat of the peer, into its response.
func (c *serverCalls) answerHeartbeat(f *Frame) {
	f.Type = Response
	if !hasKeyOfOurs(f.Metadata) {
		return // echoed to stock clients
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peer.answerHeartbeat(f, c.out.env.host)
}
