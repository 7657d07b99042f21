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

const lingerWait = 250 * time.Millisecond

// serverConn is one connection of a server. One goroutine reads it; workers run its calls and write the answers.
type serverConn struct {
	srv    *Server
	group  *group
	conn   net.Conn
	lim    Limits
	peer   netip.Addr
	served *sync.WaitGroup // done when the connection is closed
	in     *Reader         // nil while the connection is asleep
	out    outbox
	wait   patience

	closing atomic.Bool

	mu         sync.Mutex
	last       uint64 // the last accepted sequence
	modern     bool   // the peer is no client of the original easymicro
	deaf       bool   // nothing is accepted any longer
	ended      bool   // nothing is started any longer
	inFlight   taskList
	queue      taskQueue
	looking    int           // workers between two calls
	plain      int64         // bytes of decompressed requests
	plainLess  *sync.Cond    // on mu; made by who waits for that
	quietSince time.Time     // when the last call in flight ended
	stopped    bool          // the reader waits for room
	room       chan struct{} // tells it, once
	empty      chan struct{} // closed when nothing is in flight; made by who waits for that
}

func newServerConn(s *Server, g *group, conn net.Conn, lim Limits, served *sync.WaitGroup) *serverConn {
	c := &serverConn{
		srv: s, group: g, conn: conn, lim: lim, peer: addrOf(conn.RemoteAddr()),
		served: served, last: HeartbeatSeq, room: make(chan struct{}, 1),
	}
	c.out.init(conn, &c.lim)
	c.wait.init(c)
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
	c.in.OnBody = c.wait.body
	err := c.read()
	c.in.Release()
	c.in = nil
	if errors.Is(err, errAsleep) {
		go c.sleep()
		return
	}
	c.finish(err)
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

// finish closes the connection and returns when its calls are done, or have ignored their end for too long.
func (c *serverConn) finish(err error) {
	switch {
	case errors.Is(err, errDrained):
		if f, ok := c.drainFrame(drainLast); ok {
			c.send(f)
		}
		c.linger()
	case errors.Is(err, io.EOF):
		// The peer may have closed its sending side only: what is running is still answered.
		c.end()
		c.waitCalls()
	}
	c.fail(err)
	c.waitCalls()
}

// linger closes the sending side and reads what may still come, so that the last answers are not lost to a reset.
func (c *serverConn) linger() {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(lingerWait))
	var rest [512]byte
	for {
		if _, err := c.conn.Read(rest[:]); err != nil {
			return
		}
	}
}

// end cancels the calls and drops those that have not begun.
func (c *serverConn) end() {
	c.mu.Lock()
	c.ended = true
	var dropped []*task
	for t := c.queue.pop(); t != nil; t = c.queue.pop() {
		c.inFlight.remove(t)
		dropped = append(dropped, t)
	}
	for t := c.inFlight.head; t != nil; t = t.next {
		t.call.cancel(context.Canceled)
	}
	if c.inFlight.n == 0 && c.empty != nil {
		close(c.empty)
		c.empty = nil
	}
	if c.plainLess != nil {
		c.plainLess.Broadcast()
	}
	c.resume()
	c.mu.Unlock()
	for _, t := range dropped {
		t.recycle()
	}
}

// fail closes the connection and says why, when it is the peer's fault. Only the first reason counts.
func (c *serverConn) fail(err error) {
	first := c.closing.CompareAndSwap(false, true)
	c.end()
	c.out.close()
	_ = c.conn.Close()
	if !first {
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
	c.mu.Lock()
	if c.inFlight.n == 0 {
		c.mu.Unlock()
		return
	}
	if c.empty == nil {
		c.empty = make(chan struct{})
	}
	empty := c.empty
	c.mu.Unlock()
	enough := time.NewTimer(cutWait)
	defer enough.Stop()
	select {
	case <-empty:
	case <-enough.C:
	}
}

// send sends f. Others who have something to send soon are waited for.
func (c *serverConn) send(f *Frame) {
	if c.post(f) {
		c.flush()
	}
}

// post queues f and tells whether the caller has to flush.
func (c *serverConn) post(f *Frame) (flush bool) {
	flush, err := c.out.append(f)
	if err != nil {
		c.fail(err)
	}
	return flush
}

func (c *serverConn) flush() {
	c.mu.Lock()
	busy := c.inFlight.n > 1
	c.mu.Unlock()
	if err := c.out.flush(busy); err != nil {
		c.fail(err)
	}
}
