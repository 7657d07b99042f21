package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// goAwayGrace is how long clients have to read the last drain frame before the connection is closed.
const goAwayGrace = 50 * time.Millisecond

// ErrServerClosed is returned by Serve after Shutdown.
var ErrServerClosed = errors.New("wire: server closed")

var (
	errReset     = errors.New("the peer has reset the connection")
	errTakenOver = errors.New("another worker reads the connection")
)

// serverConn is a connection of a Server. One worker at a time is its reader.
//
// The reader runs a call itself unless paces advise against it (inline) or others are queued (enter). It may leave the
// answer in the outbox until it has read what has arrived (unsent). If the call outlasts a tick of the watch, another worker
// becomes the reader and notes the call in paces (takenOver). The former reader learns that from running.leaveWatch, sends the
// answer itself, and then runs queued calls. A flush by the reader is watched, too. Workers run all other calls.
type serverConn struct {
	group     *connGroup
	conn      net.Conn
	lim       *Limits
	share     Share
	deadlines readDeadlines

	// Used by the reader only.
	in     *Reader // nil while the connection is asleep
	budget readBudget
	paces  paces
	unsent bool // the reader has queued answers and must flush them

	out   responder
	calls serverCalls

	reported atomic.Bool // the reason for the end has been counted

	asleep   atomic.Bool // the next byte is waited for by sleepers
	sleepsAs uintptr     // its descriptor there
	idle     *time.Timer // rouses it when it has been idle for too long
}

func newServerConn(g *connGroup, conn net.Conn, lim *Limits) *serverConn {
	c := &serverConn{group: g, conn: conn, lim: lim}
	c.share.open(g.env.budget, c)
	c.budget = readBudget{Growth: NewGrowth(&c.share), host: g.env.host}
	c.out.env, c.out.onError = g.env, c.lose
	c.out.out.init(conn, c.lim)
	c.calls = serverCalls{
		ctx: g.ctx, pool: g.pool, share: &c.share, out: &c.out, budget: &c.budget,
		from: origin{
			transport: TransportRPCX, peer: addrOf(conn.RemoteAddr()), host: g.env.host, share: &c.share, maxDecoded: lim.MaxDecompressedBytes,
			certificate: PeerCertificate(conn),
		},
	}
	c.calls.init(lim.MaxInFlight)
	c.deadlines.init(conn, c.lim, c)
	return c
}

func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// work reads the connection until it ends or is idle, or another worker takes the reading over.
func (c *serverConn) work(w *worker) {
	if c.in == nil {
		c.in = NewReader(&c.deadlines, *c.lim)
		c.in.OnBody, c.in.grower = c.deadlines.body, &c.budget
	}
	err := c.read(w)
	if errors.Is(err, errTakenOver) {
		return
	}
	c.flushUnsent()
	c.in.Release()
	c.in = nil
	if errors.Is(err, errAsleep) {
		c.sleep()
		return
	}
	c.finish(err)
	c.share.Close()
	c.group.forget(c)
	c.group.open.Done()
}

// sleep has the connection wait for its next byte without a Reader and a worker, which makes an idle connection cheap.
func (c *serverConn) sleep() {
	c.deadlines.dozes = true
	c.idle = time.AfterFunc(time.Until(c.deadlines.ends()), c.rouse)
	c.asleep.Store(true)
	if !c.group.pool.sleepers.add(c) {
		if c.asleep.CompareAndSwap(true, false) {
			c.idle.Stop()
			go func() {
				c.deadlines.sleep()
				c.group.pool.wake(c)
			}()
		}
		return
	}
	if c.deadlines.announcing.Load() || !c.out.answerable() || !time.Now().Before(c.deadlines.ends()) { // since before it was asleep
		c.rouse()
	}
}

// rouse has a worker read the connection if it is asleep.
func (c *serverConn) rouse() {
	if c.asleep.CompareAndSwap(true, false) {
		c.idle.Stop()
		c.group.pool.sleepers.remove(c)
		c.group.pool.wake(c)
	}
}

// read reads frames until the connection ends.
func (c *serverConn) read(w *worker) error {
	if c.paces.takenOver() && c.unsent && !c.flush(w) {
		return errTakenOver // answers must not wait for another call that blocks
	}
	for {
		if c.unsent && (c.calls.stopReader() || !c.in.hasFrame()) && !c.flush(w) {
			return errTakenOver
		}
		if err := c.waitUncongested(); err != nil {
			return err
		}
		if err := c.in.wait(1); err != nil {
			return err
		}
		t := tasks.Get().(*task) // only now, so that idle connections hold none
		err := c.in.Read(&t.req)
		t.held, t.ticket = c.in.handOver(), c.budget.handOver()
		c.deadlines.frameRead()
		if err == nil {
			if c.take(t) && !c.run(t, w) {
				return errTakenOver
			}
		} else if err := c.overLimit(t, err); err != nil {
			return err
		}
		if c.deadlines.announcing.Load() {
			c.announceDrain()
		}
		if c.in.Buffered() == 0 && !c.unsent {
			if err := c.deadlines.sleepOn(); err != nil {
				return err
			}
		}
	}
}

// run runs t, and reports whether this goroutine is still the reader. Otherwise it has run all that it could.
func (c *serverConn) run(t *task, w *worker) bool {
	w.reading = c
	begin := c.paces.begin()
	reads, unsent := c.calls.run(t, w)
	w.reading = nil
	if !reads {
		c.calls.work(w)
		return false
	}
	c.paces.end(begin)
	c.unsent = c.unsent || unsent
	return true
}

// flush writes the answers that are queued, and reports whether this goroutine is still the reader.
func (c *serverConn) flush(w *worker) bool {
	c.unsent = false
	w.reading = c
	w.enterWatch()
	c.out.flushNow()
	reads := w.leaveWatch()
	w.reading = nil
	return reads
}

// flushUnsent writes the answers that are queued, when the reader does not read on.
func (c *serverConn) flushUnsent() {
	if c.unsent {
		c.unsent = false
		c.out.flushNow()
	}
}

// waitUncongested blocks while the peer does not read answers.
func (c *serverConn) waitUncongested() error {
	for {
		if c.out.closing.Load() {
			return errWriteClosed
		}
		if !c.calls.stopReader() {
			return nil
		}
		c.flushUnsent()
		select {
		case <-c.calls.resumed:
		case <-c.deadlines.interrupted:
			c.announceDrain()
		}
	}
}

// take handles a valid frame, and reports whether the reader has to run it. Responses are ignored.
func (c *serverConn) take(t *task) (run bool) {
	switch {
	case t.req.Type != Request:
	case t.req.Heartbeat:
		if !t.req.OneWay {
			c.calls.answerHeartbeat(&t.req)
			c.out.send(&t.req)
		}
	case t.req.OneWay && t.req.Service == CancelPath:
		c.calls.cancel(t.req.Seq)
	default:
		c.deadlines.callArrived()
		t.arrived = c.deadlines.lastRead
		more := c.in.hasFrame()
		t.inline, t.flushLater = c.paces.inline(&t.req, more || c.unsent, c.group.pool.watch.crowded.Load()), more && !c.unsent
		return c.calls.dispatch(t)
	}
	t.release(&c.share)
	return false
}

// overLimit answers a valid request that exceeds a limit. It returns all other errors, which end the connection.
func (c *serverConn) overLimit(t *task, err error) error {
	defer t.release(&c.share)
	var bad *FrameError
	if !errors.As(err, &bad) || bad.Fatal {
		return err
	}
	c.group.env.observer.WireError(bad.Reason)
	if t.req.Type == Request && bad.Answer != nil {
		c.out.refuse(&t.req, bad.Answer)
	}
	return nil
}

// announceDrain is called by the reader, so everything it has read is accepted.
func (c *serverConn) announceDrain() {
	c.sendDrain("")
	c.deadlines.announced(time.Now())
}

func (c *serverConn) sendDrain(method string) {
	peer, _ := c.calls.peerInfo()
	if f, ok := peer.drainFrame(method); ok {
		c.out.send(f)
	}
}

// sendGoAway rejects further calls, drops those that have not begun, and sends the client the sequence of the last one. The
// reader continues and discards: unread bytes would reset the connection, and the client might lose the frame. It reports
// whether the client may have calls to send elsewhere.
func (c *serverConn) sendGoAway() (unread bool) {
	dropped, unread := c.calls.reject()
	peer, _ := c.calls.peerInfo()
	f, ok := peer.drainFrame(drainLast)
	flush := ok && c.out.postNow(f)
	for _, t := range dropped {
		if !ok && !t.oneWay {
			const what = "the host is shutting down and has not begun the call"
			e := code.Refuse(code.Unavailable, code.ReasonDraining, what, "", c.group.env.host, 0)
			flush = c.out.postNow(refusal(&t.req, e)) || flush
		}
		t.release(&c.share)
	}
	if flush {
		_, _ = c.out.out.flushOnce(goAwayGrace) // the connection is closed in any case
	}
	return unread
}

// finish closes the connection and waits for its calls, for cancelled ones at most cutWait. Unless the connection is broken,
// it first lets the calls that were read run, and answers them.
func (c *serverConn) finish(err error) {
	switch {
	case errors.Is(err, errDrained), errors.Is(err, errIdle):
		c.sendDrain(drainLast)
		c.linger(true)
	case atEnd(err):
		c.serveOut()
	case writable(err):
		c.report(err)
		c.serveOut()
		c.linger(false)
	}
	c.fail(err)
	c.calls.waitEnd()
}

// serveOut waits until the calls that were read have been answered, or the connection is broken.
func (c *serverConn) serveOut() {
	peer, busy := c.calls.peerInfo()
	if !busy && c.out.out.idle() {
		return
	}
	_ = c.conn.SetReadDeadline(time.Time{})
	stop := onReset(c.conn, func() { c.fail(errReset) })
	defer stop()
	if !peer.maybeLegacy() {
		// A probe: a peer that has only closed its sending side ignores it, one that is gone answers with a reset.
		c.out.send(&Frame{Type: Response, Heartbeat: true, Seq: HeartbeatSeq})
	}
	c.calls.waitAnswered()
	enough, cancel := context.WithTimeout(context.Background(), 10*c.lim.WriteTimeout) // a peer that reads nothing is cut sooner
	defer cancel()
	c.out.out.settle(enough)
}

// linger closes the sending side and reads what still arrives, so that a reset does not destroy the last answers. With
// frames it runs the one-way calls of peers that do not know the drain frame, since they would be lost.
func (c *serverConn) linger(frames bool) {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(lingerWait))
	in := NewReader(c.conn, *c.lim)
	in.grower = &c.budget
	defer in.Release()
	for frames {
		t := tasks.Get().(*task)
		frames = in.Read(&t.req) == nil
		t.held, t.ticket = in.handOver(), c.budget.handOver()
		peer, _ := c.calls.peerInfo()
		if frames && t.req.OneWay && t.req.Type == Request && !t.req.Heartbeat && !peer.ours {
			t.arrived = time.Now()
			c.calls.dispatch(t)
		} else {
			t.release(&c.share)
		}
	}
	_, _ = io.Copy(io.Discard, c.conn)
}

// fail closes the connection because of err.
func (c *serverConn) fail(err error) {
	c.report(err)
	c.out.closing.Store(true)
	c.calls.end(errors.Is(err, ErrServerClosed))
	c.out.out.close()
	_ = c.conn.Close()
	c.rouse()
}

// lose handles a write error. The reader continues for a while, since the peer may have sent one-way calls.
func (c *serverConn) lose(err error) {
	if errors.Is(err, errSlowReader) || c.out.closing.Load() {
		c.fail(err)
		return
	}
	c.out.lost.Store(true)
	c.calls.end(false)
	c.out.out.close()
	c.deadlines.set(time.Now().Add(lingerWait))
	c.rouse()
}

// report counts and logs err if the peer is at fault. Only the first call counts.
func (c *serverConn) report(err error) {
	if !c.reported.CompareAndSwap(false, true) {
		return
	}
	if reason := cutReason(err); reason != "" {
		c.group.env.observer.WireError(reason)
		c.group.env.cuts.add(c.conn.RemoteAddr(), reason, err)
	}
}

// Progress and Abort implement Holder.
func (c *serverConn) Progress() (waiting, taken int64) { return c.out.out.untaken() }

func (c *serverConn) Abort() { c.fail(errSlowReader) }

// The following methods implement readOwner, with announceDrain.

func (c *serverConn) unwritable() bool { return c.out.lost.Load() }

func (c *serverConn) quietFrom(t, now time.Time) time.Time { return c.calls.quietFrom(t, now) }

func (c *serverConn) readHolds() bool { return c.in.holds() && c.group.env.budget.Short() }
