package wire

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// Shutdown drains: listeners are closed, every connection is told the last accepted sequence (a one-way request with
// the path x-em-drain; HeartbeatSeq, which is -1, when there was none), calls on the wire are served, and a connection
// closes when nothing is in flight on it and nothing came or ended on it for 100 ms. Only peers that have shown a key of
// ours (x-em-…) are told: others take the frame for a message, or crash on it. The end of ctx cuts what is left, and its error is returned. The calls to Serve
// return when their connections are gone.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	for ln := range s.listeners {
		_ = ln.Close()
	}
	for sc := range s.conns {
		sc.wait.kick()
	}
	s.mu.Unlock()

	for {
		s.mu.Lock()
		left, changed := len(s.conns), s.changed
		s.closed = s.closed || left == 0
		s.mu.Unlock()
		if left == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			s.mu.Lock()
			s.closed = true
			s.mu.Unlock()
			s.sayLast()
			s.cut(nil)
			return ctx.Err()
		}
	}
}

// kick interrupts the reader to have it tell its peer that the server drains.
func (p *patience) kick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.draining {
		return
	}
	p.draining = true
	p.toTell.Store(true)
	_ = p.c.conn.SetReadDeadline(time.Unix(1, 0))
	p.kicked <- struct{}{}
}

// tellDrain is called by the reader. Everything that came until now is accepted.
func (c *serverConn) tellDrain() {
	select {
	case <-c.wait.kicked:
	default:
	}
	if f, ok := c.drainFrame(""); ok {
		c.send(f)
	}
	c.wait.told(time.Now())
}

// drainFrame has the last sequence that was accepted. There is none for peers that may not know it.
func (c *serverConn) drainFrame(method string) (*Frame, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &Frame{Type: Request, OneWay: true, Service: DrainPath, Method: method, Seq: c.last}, c.ours
}

// lastWord is how long clients have to take in, before they are cut off, what was never read.
const lastWord = 50 * time.Millisecond

// sayLast tells all clients which call was the last that is accepted, and gives them a moment to hear it.
func (s *Server) sayLast() {
	s.mu.Lock()
	var told sync.WaitGroup
	var unread atomic.Bool
	for c := range s.conns {
		told.Go(func() {
			if c.sayLast() {
				unread.Store(true)
			}
		})
	}
	s.mu.Unlock()
	told.Wait()
	if unread.Load() {
		time.Sleep(lastWord)
	}
}

// sayLast accepts no more calls, drops those that have not begun, and says so. What still comes is read and dropped: unread
// bytes would reset the connection, and the peer might never read the frame. It reports whether there are calls that the
// peer may send elsewhere.
func (c *serverConn) sayLast() (unread bool) {
	c.mu.Lock()
	c.deaf = true
	dropped := c.flight.drop(true)
	unread = c.stopped || dropped != nil
	if dropped != nil {
		c.last = c.begun
	}
	c.resume()
	c.mu.Unlock()
	f, ours := c.drainFrame(drainLast)
	flush := ours && c.appendLast(f)
	for dropped != nil {
		t := dropped
		dropped, t.queued = t.queued, nil
		if !ours && !t.oneWay {
			e := code.Refuse(code.Unavailable, code.ReasonDraining, "the host closes, and has not begun the call", "", c.srv.host, 0)
			flush = c.appendLast(refusal(&t.req, e)) || flush
		}
		c.drop(t)
	}
	if flush {
		_, _ = c.out.try(lastWord) // the connection is closed in any case
	}
	return unread
}

// appendLast queues f unless it would have to wait for the peer. It reports whether the caller has to flush.
func (c *serverConn) appendLast(f *Frame) (flush bool) {
	if c.out.backlog.crowded.Load() {
		return false
	}
	flush, _ = c.out.append(f)
	return flush
}

func (p *patience) told(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.toTell.Store(false)
	p.toldAt = now
	if !p.inBody {
		p.until = now.Add(drainQuiet)
	}
	_ = p.c.conn.SetReadDeadline(p.until)
}
