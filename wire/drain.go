package wire

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Shutdown drains: listeners are closed, every connection is told the last accepted sequence (a one-way request with
// the path x-em-drain; HeartbeatSeq, which is -1, when there was none), calls on the wire are served, and a connection
// closes when nothing is in flight on it and nothing came or ended on it for 100 ms. Clients of the original easymicro
// are not told: it would crash them. The end of ctx cuts what is left, and its error is returned. The calls to Serve
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

// drainFrame tells of the last sequence that was accepted. There is none for clients that it would crash.
func (c *serverConn) drainFrame(method string) (*Frame, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &Frame{Type: Request, OneWay: true, Service: DrainPath, Method: method, Seq: c.last}, !c.mayBeOriginal()
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

// sayLast accepts no more calls and says so. What still comes is read and dropped: unread bytes would reset the
// connection, and the peer might never read the frame. It tells whether the connection was left unread.
func (c *serverConn) sayLast() (unread bool) {
	c.mu.Lock()
	c.deaf = true
	unread = c.stopped
	c.resume()
	c.mu.Unlock()
	f, ok := c.drainFrame(drainLast)
	if !ok {
		return unread
	}
	if flush, err := c.out.append(f); err == nil && flush {
		_, _ = c.out.try(lastWord) // the connection is closed in any case
	}
	return unread
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
