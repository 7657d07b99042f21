package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// clientTransport sends the requests of a Conn and hands the responses to their callers.
type clientTransport struct {
	conn     net.Conn
	lim      Limits
	hello    Metadata // metadata of heartbeats: a key of ours, which makes our servers introduce themselves
	asks     bool     // heartbeats are sent
	server   serverInfo
	out      outbox
	onChange func()
	onUnread func([]*Frame, int)
	draining atomic.Bool
	done     chan struct{}
	over     sync.WaitGroup // the flusher while it runs, the reader even while nobody reads, and the timer of pending

	mu        sync.Mutex
	err       error // why the connection ended
	endedIdle bool  // the server closed it cleanly between calls
	refused   error // error of calls that the server will not read; set once it has announced the last one
	pending   pendingCalls
	oneWays   oneWays
	role      readerRole
	flushes   flushState
}

// flushState is the state of the flusher, a goroutine that runs while there is something for it to write.
type flushState byte

const (
	flushIdle flushState = iota
	flushRunning
	flushAgain // it must look once more
)

// take handles one frame. Responses that no call waits for are ignored.
func (t *clientTransport) take(f *Frame) {
	if f.Heartbeat && f.Status == StatusError && f.Type == Response {
		t.fail(ErrorOf(f)) // a host refuses the connection
		return
	}
	t.server.learn(f)
	switch {
	case f.Heartbeat:
		if f.Type == Response {
			t.mu.Lock()
			t.oneWays.heartbeat(f.Metadata)
			t.mu.Unlock()
		}
	case f.Type == Response:
		t.settle(f, nil)
	case f.OneWay && f.Service == DrainPath:
		t.draining.Store(true)
		if f.Method == drainLast {
			t.refuseAfter(f.Seq)
		}
		t.onChange()
	}
}

// settle passes a response to its caller. It swaps the caller's frame and f, so that nothing is copied.
func (t *clientTransport) settle(f *Frame, err error) {
	if f.Type != Response {
		return
	}
	t.mu.Lock()
	if f.Seq < t.pending.seq {
		t.oneWays.read(f.Seq)
		if kept := &t.oneWays.kept; !kept.empty() && (f.Status == StatusNormal || !code.NotRun(f.Metadata.Get(MetaReason))) {
			kept.run(f.Seq) // requests begin to run in order
		}
	}
	a := t.pending.remove(f.Seq)
	t.mu.Unlock()
	if a == nil {
		return
	}
	*a.res, *f = *f, *a.res
	a.err = err
	a.got <- struct{}{}
}

// refuseAfter fails the calls after the last one that the server has read, and passes the one-way requests to onUnread. The
// server reads no more.
func (t *clientTransport) refuseAfter(last uint64) {
	t.mu.Lock()
	if t.refused != nil {
		t.mu.Unlock()
		return
	}
	t.refused = failed(code.Unavailable, code.ReasonDraining, "the peer is draining and has not read the call")
	t.pending.failAfter(last, t.refused)
	unread, dropped := t.oneWays.kept.after(last)
	t.oneWays.unread = true // until onUnread has returned
	t.mu.Unlock()
	if t.onUnread != nil && len(unread)+dropped > 0 {
		t.onUnread(unread, dropped)
	}
	t.mu.Lock()
	t.oneWays.read(HeartbeatSeq)
	t.oneWays.notify()
	t.mu.Unlock()
}

// fail ends the connection and fails the calls in flight. Only the first error counts.
func (t *clientTransport) fail(err error) {
	t.mu.Lock()
	if t.err != nil {
		t.mu.Unlock()
		return
	}
	t.err, t.endedIdle = err, err == io.EOF && len(t.pending.bySeq) == 0 //nolint:errorlint // as Reader returns it between two frames
	t.pending.failAfter(HeartbeatSeq, connLost(err))
	close(t.done)
	if t.role.take() {
		t.over.Done()
	}
	if t.pending.stopTimer() {
		t.over.Done()
	}
	t.mu.Unlock()
	t.out.close()
	_ = t.conn.Close()
	t.onChange()
}

// rests reports whether the background goroutine may end, since the next caller may read.
func (t *clientTransport) rests() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err == nil && t.role.rests(len(t.pending.bySeq))
}

// reason returns the error that ended the connection, or nil.
func (t *clientTransport) reason() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// queued is a request in the outbox, or what it waits for: its turn there, or for fewer calls in flight.
type queued struct {
	*answer
	alone, flush bool
	leads        bool // the caller must read
	ask          bool // it is time to ask the server which requests have begun
	turn         *turn
	freed        <-chan struct{}
}

// enqueue assigns the request its sequence and queues it. It waits while too much is queued or too many calls are in flight.
// Sequences are in the order of the wire, so that the last one a server has read covers all before it.
func (t *clientTransport) enqueue(ctx context.Context, req, res *Frame) (queued, error) {
	var k keptRequest
	if req.OneWay && t.keeps() {
		k = keepable(req)
	}
	var granted *turn
	for {
		q, err := t.tryEnqueue(req, res, granted, k)
		granted = q.turn
		wait := q.freed
		switch {
		case granted != nil:
			wait = granted.ready
		case wait == nil:
			return q, t.sendError(err)
		}
		select {
		case <-wait:
		case <-ctx.Done():
			t.out.leave(granted)
			return q, ended(ctx.Err())
		}
	}
}

// tryEnqueue queues the request if it may be queued now. granted is its turn if it has waited for room, and k the copy of a
// one-way request.
func (t *clientTransport) tryEnqueue(req, res *Frame, granted *turn, k keptRequest) (q queued, err error) {
	o := &t.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if granted != nil {
		defer o.backlog.leave(granted)
	}
	if o.err != nil {
		return q, o.err
	}
	if n := req.size(); granted == nil && !o.backlog.fits(n) {
		q.turn = o.backlog.queueUp(n)
		return q, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return q, connEnded(t.err)
	}
	if t.refused != nil {
		return q, t.refused
	}
	if req.OneWay {
		q.alone, q.ask = true, t.addOneWay(req, k)
	} else if q.answer, q.freed = t.pending.add(req, res); q.freed != nil {
		return q, nil
	} else {
		q.alone = len(t.pending.bySeq) == 1
		q.leads = t.role.join(q.alone)
	}
	q.flush = o.put(req)
	return q, nil
}

// addOneWay assigns a one-way request its sequence and keeps a copy. It reports whether it is time to ask the server which
// requests have begun. It needs t.mu.
func (t *clientTransport) addOneWay(req *Frame, k keptRequest) (ask bool) {
	req.Seq = t.pending.nextSeq()
	o := &t.oneWays
	o.sent(req.Seq)
	if !t.keeps() {
		return false
	}
	o.kept.add(req, k)
	return t.asks && o.kept.bytes >= askBytes && o.asked == o.answered
}

// keeps reports whether copies of one-way requests are kept until the server is known to have begun them.
func (t *clientTransport) keeps() bool { return t.onUnread != nil && !t.server.stock() }

// handedOver reports whether the server has announced its last request, so that later one-way requests are sent elsewhere.
func (t *clientTransport) handedOver() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.refused != nil && t.keeps()
}

// sendError returns the error of a request that was not queued. An error of the outbox ends the connection.
func (t *clientTransport) sendError(err error) error {
	if err == nil {
		return nil
	}
	var coded *code.Error
	if errors.As(err, &coded) {
		return err
	}
	t.fail(err)
	return connEnded(t.reason())
}

// abandon gives up a call whose context has ended, and reports false if the response has already arrived. It cancels the
// call at a server of ours, unless the deadline has passed, which the server knows.
func (t *clientTransport) abandon(seq uint64, a *answer, why error) bool {
	t.mu.Lock()
	waiting := t.pending.remove(seq) != nil
	if waiting {
		t.pending.reuse(a)
	}
	t.mu.Unlock()
	if waiting && t.server.ours.Load() && !errors.Is(why, context.DeadlineExceeded) {
		t.send(&Frame{Type: Request, OneWay: true, Seq: seq, Service: CancelPath})
	}
	return waiting
}

// expireAt fails the call with the answer a at a time, unless it is answered before.
func (t *clientTransport) expireAt(at time.Time, a *answer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.until = at
	if t.err == nil && t.pending.expireAt(at) {
		t.over.Add(1)
	}
}

// endOf returns a context that ends with ctx, except at a deadline at which the timer fails the call.
func (t *clientTransport) endOf(ctx context.Context, a *answer) context.Context {
	if d, ok := ctx.(*Deadline); ok {
		if ctx = d.untimed(); ctx != d {
			t.expireAt(d.at, a)
		}
	}
	return ctx
}

// expire is called by the timer of the pending calls.
func (t *clientTransport) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil || !t.pending.failExpired() {
		t.over.Done()
	}
}

func (t *clientTransport) reuse(a *answer) {
	t.mu.Lock()
	t.pending.reuse(a)
	t.mu.Unlock()
}

// ask sends a heartbeat, to stock servers without a key of ours.
func (t *clientTransport) ask() {
	if t.server.stock() {
		t.askWith(nil)
		return
	}
	t.askWith(t.hello)
}

func (t *clientTransport) askWith(m Metadata) {
	t.mu.Lock()
	t.oneWays.asked++
	t.role.rouse()
	t.mu.Unlock()
	t.send(&Frame{Type: Request, Heartbeat: true, Seq: HeartbeatSeq, Metadata: m})
}

// send queues a small control frame without waiting, and has it written.
func (t *clientTransport) send(f *Frame) {
	t.out.mu.Lock()
	flush := t.out.put(f)
	t.out.mu.Unlock()
	if flush {
		_ = t.flush(0) // never fails
	}
}

// flush has the queue written. It first writes for at most direct itself, which is fastest, and leaves the rest to the
// flusher, so that no caller is blocked beyond its context.
func (t *clientTransport) flush(direct time.Duration) error {
	if direct > 0 && !t.out.fragile {
		if left, err := t.out.flushOnce(direct); !left || err != nil {
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.flushes != flushIdle:
		t.flushes = flushAgain
	case t.err == nil:
		t.flushes = flushRunning
		t.over.Go(t.flushRest)
	}
	return nil
}

// flushRest is the flusher: it writes what callers have left.
func (t *clientTransport) flushRest() {
	for {
		if err := t.out.flush(true); err != nil {
			t.fail(err)
		}
		t.mu.Lock()
		t.flushes--
		idle := t.flushes == flushIdle
		t.mu.Unlock()
		if idle {
			return
		}
	}
}
