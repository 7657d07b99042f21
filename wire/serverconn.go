package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// The reasons for which a server cuts a connection, besides those of bad frames. They are labels of metrics.
const (
	cutFirstByte  = "first_byte_timeout"
	cutBody       = "body_timeout"
	cutSlowReader = "slow_reader"
	cutTruncated  = "truncated"
)

var errReset = errors.New("the peer has reset the connection")

const lingerWait = 250 * time.Millisecond

// serverConn is one connection of a server. One goroutine reads it; workers run its calls and write the answers.
type serverConn struct {
	srv    *Server
	group  *group
	conn   net.Conn
	lim    Limits
	from   origin          // of its calls
	served *sync.WaitGroup // done when the connection is closed
	share  Share
	in     *Reader // nil while the connection is asleep
	out    outbox
	wait   patience
	room   room

	closing atomic.Bool
	lost    atomic.Bool // it cannot be written to
	told    atomic.Bool // why it ends
	intro   introduction

	mu         sync.Mutex
	last       uint64 // the last accepted sequence
	begun      uint64 // the last one that began to run
	modern     bool   // the peer is no client of the original easymicro
	ours       bool   // it has shown a key of ours
	deaf       bool   // nothing is accepted any longer
	gone       bool   // nobody waits for answers: only one-way calls are started
	ended      bool   // nothing is started any longer
	flight     flight
	looking    int           // workers between two calls
	looksAgain bool          // a timer runs for that
	quietSince time.Time     // when the last call in flight ended
	stopped    bool          // the reader waits for the peer to take answers
	taken      chan struct{} // tells it, once
	fewer      chan struct{} // closed when a call ends, or all are told to; made by who waits for that
}

func newServerConn(s *Server, g *group, conn net.Conn, lim Limits, served *sync.WaitGroup) *serverConn {
	c := &serverConn{
		srv: s, group: g, conn: conn, lim: lim, served: served, last: HeartbeatSeq, begun: HeartbeatSeq,
		taken: make(chan struct{}, 1), flight: flight{most: lim.MaxInFlight},
	}
	c.from = origin{"rpcx", addrOf(conn.RemoteAddr()), s.host, &c.share, lim.MaxDecompressedBytes}
	c.out.init(conn, &c.lim)
	c.out.backlog.share, c.out.backlog.uncrowded = &c.share, c.uncrowded
	c.wait.init(c)
	c.share.open(s.budget, c)
	c.room = room{Growth: NewGrowth(&c.share), host: s.host}
	return c
}

func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// serve reads the connection until it ends or falls asleep. Then another goroutine goes on.
func (c *serverConn) serve() {
	c.in = NewReader(&c.wait, c.lim)
	c.in.OnBody, c.in.ration = c.wait.body, &c.room
	err := c.read()
	c.in.Release()
	c.in = nil
	if errors.Is(err, errAsleep) {
		go c.sleep()
		return
	}
	c.finish(err)
	c.share.Close()
	c.srv.forget(c)
	c.served.Done()
}

// sleep waits for the next byte in a goroutine that has never needed more than the smallest stack, and without a
// Reader: that is what makes an idle connection cheap.
func (c *serverConn) sleep() {
	n, _ := c.conn.Read(c.wait.first[:]) // an error comes again
	c.wait.ahead = c.wait.first[:n]
	go c.serve()
}

// finish closes the connection and returns when its calls are done, or have ignored their end for too long. What was read
// whole is run and answered, unless the connection is broken.
func (c *serverConn) finish(err error) {
	switch {
	case errors.Is(err, errDrained), errors.Is(err, errIdle):
		if f, ok := c.drainFrame(drainLast); ok {
			c.send(f)
		}
		c.linger(true)
	case atEnd(err):
		c.serveOut()
	case sound(err):
		c.tell(err)
		c.serveOut()
		c.linger(false)
	}
	c.fail(err)
	c.waitCalls()
}

// atEnd reports whether err is the end of what the peer sends.
func atEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// sound reports whether the connection can still be written to after an error of reading it.
func sound(err error) bool {
	var bad *FrameError
	return errors.As(err, &bad) || errors.Is(err, errBody)
}

// serveOut returns when the calls that were read have been answered, or the connection is broken.
func (c *serverConn) serveOut() {
	c.mu.Lock()
	idle, quiet := c.flight.n == 0, c.mayBeOriginal()
	c.mu.Unlock()
	if idle && c.out.idle() {
		return
	}
	_ = c.conn.SetReadDeadline(time.Time{})
	stop := onReset(c.conn, func() { c.fail(errReset) })
	defer stop()
	if !quiet {
		// A peer that has only closed its sending side ignores it. That of one that is gone answers with a reset.
		c.send(&Frame{Type: Response, Heartbeat: true, Seq: HeartbeatSeq})
	}
	c.waitFewer(nil, func() bool { return c.flight.n == 0 || c.gone })
	enough, cancel := context.WithTimeout(context.Background(), 10*c.lim.WriteTimeout) // one that takes nothing is cut before that
	defer cancel()
	c.out.settle(enough)
}

// linger closes the sending side and reads what may still come, so that the last answers are not lost to a reset. Of the
// frames that come the one-way calls of peers that have not been told which was the last are run: they send them to nobody
// else.
func (c *serverConn) linger(frames bool) {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(lingerWait))
	in := NewReader(c.conn, c.lim)
	in.ration = &c.room
	defer in.Release()
	for frames {
		t := tasks.Get().(*task)
		frames = in.Read(&t.req) == nil
		t.held, t.place = in.handOver(), c.room.handOver()
		if frames && t.req.OneWay && t.req.Type == Request && !t.req.Heartbeat && !c.knowsLast() {
			t.arrived = time.Now()
			c.dispatch(t)
		} else {
			c.drop(t)
		}
	}
	_, _ = io.Copy(io.Discard, c.conn)
}

// end drops the calls that have not begun and cancels the others. Unless it is for all, one-way calls go on: nobody waits
// for their answers.
func (c *serverConn) end(all bool) {
	c.mu.Lock()
	if c.gone && (c.ended || !all) {
		c.mu.Unlock()
		return
	}
	c.gone, c.ended = true, all
	dropped := c.flight.drop(all)
	for t := c.flight.head; t != nil; t = t.next {
		if t.call != nil && (all || !t.oneWay) {
			t.call.cancel(context.Canceled)
		}
	}
	c.tellFewer()
	c.resume()
	wake := c.wantsWorker()
	c.mu.Unlock()
	if wake {
		c.srv.pool.wake(c)
	}
	for dropped != nil {
		t := dropped
		dropped, t.queued = t.queued, nil
		c.drop(t)
	}
}

// fail closes the connection and says why.
func (c *serverConn) fail(err error) {
	c.tell(err)
	c.closing.Store(true)
	c.end(errors.Is(err, ErrServerClosed))
	c.out.close()
	_ = c.conn.Close()
}

// tell counts and logs why the connection ends, when it is the peer's fault. Only the first reason counts.
func (c *serverConn) tell(err error) {
	if !c.told.CompareAndSwap(false, true) {
		return
	}
	if reason := reasonOf(err); reason != "" {
		c.srv.observer.WireError(reason)
		c.srv.cuts.tell(c.conn.RemoteAddr(), reason, err)
	}
}

// reasonOf is why a connection was cut; "" for ends that are nobody's fault.
func reasonOf(err error) string {
	var bad *FrameError
	switch {
	case errors.As(err, &bad):
		return bad.Reason
	case errors.Is(err, errFirstByte):
		return cutFirstByte
	case errors.Is(err, errBody):
		return cutBody
	case errors.Is(err, errSlowReader):
		return cutSlowReader
	case errors.Is(err, io.ErrUnexpectedEOF):
		return cutTruncated
	}
	return ""
}

// waitCalls waits until nothing is in flight, but not for handlers that ignore the end of their context.
func (c *serverConn) waitCalls() {
	c.waitFewer(nil, func() bool { return c.flight.n == 0 || c.ended || c.flight.oneWay == 0 })
	enough := time.NewTimer(cutWait)
	defer enough.Stop()
	c.waitFewer(enough.C, func() bool { return c.flight.n == 0 })
}

// waitFewer waits until few says so, which is asked with c.mu held whenever a call has ended.
func (c *serverConn) waitFewer(timeout <-chan time.Time, few func() bool) {
	for {
		c.mu.Lock()
		if few() {
			c.mu.Unlock()
			return
		}
		if c.fewer == nil {
			c.fewer = make(chan struct{})
		}
		fewer := c.fewer
		c.mu.Unlock()
		select {
		case <-fewer:
		case <-timeout:
			return
		}
	}
}

// tellFewer needs c.mu.
func (c *serverConn) tellFewer() {
	if c.fewer != nil {
		close(c.fewer)
		c.fewer = nil
	}
}

// cancel ends the call with a sequence: its peer says that nobody waits for it any longer.
func (c *serverConn) cancel(seq uint64) {
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

// knowsLast reports whether the peer has been told which of its requests was the last that is accepted.
func (c *serverConn) knowsLast() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ours
}

// Untaken returns what waits for the peer, and what it has taken.
func (c *serverConn) Untaken() (waiting, taken int64) { return c.out.untaken() }

// CutSlow closes the connection of a peer that takes nothing, when memory is short.
func (c *serverConn) CutSlow() { c.fail(errSlowReader) }

// send sends f. Others who have something to send soon are waited for.
func (c *serverConn) send(f *Frame) {
	if c.post(f) {
		c.flush()
	}
}

// post queues f and reports whether the caller has to flush.
func (c *serverConn) post(f *Frame) (flush bool) {
	c.intro.give(f, c.srv.host)
	flush, err := c.out.append(f)
	if err != nil {
		c.lose(err)
	}
	c.srv.budget.relieveIfFull()
	return flush
}

func (c *serverConn) flush() {
	c.mu.Lock()
	busy := c.flight.n > 1
	c.mu.Unlock()
	if err := c.out.flush(busy); err != nil {
		c.lose(err)
	}
}

// lose gives up a connection that cannot be written to. What its peer had sent before that is read all the same: there may
// be one-way calls in it.
func (c *serverConn) lose(err error) {
	if errors.Is(err, errSlowReader) || c.closing.Load() {
		c.fail(err)
		return
	}
	c.lost.Store(true)
	c.end(false)
	c.out.close()
	c.wait.set(time.Now().Add(lingerWait))
}
