package host_test

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// attack is what some hostile peers do, each again and again, until the context of the strike ends.
type attack struct {
	name    string
	peers   int // at a time
	act     func(*strike)
	lasting bool // the host needs long to rest
	admin   bool // on the admin listener, which then serves no one else
}

// strike is one run of an attack.
type strike struct {
	ctx     context.Context
	address string
	sent    atomic.Int64 // bytes
	once    sync.Once
	begun   chan struct{} // is closed when the first is sent
}

func (s *strike) count(n int) {
	if s.sent.Add(int64(n)) > 0 {
		s.once.Do(func() { close(s.begun) })
	}
}

// dial opens a connection that is closed when the strike ends at the latest; nil when none can be had.
func (s *strike) dial() net.Conn {
	c, err := (&net.Dialer{}).DialContext(s.ctx, "tcp", s.address)
	if err != nil {
		return nil
	}
	context.AfterFunc(s.ctx, func() { _ = c.Close() })
	return c
}

func (s *strike) write(c net.Conn, b []byte) error {
	n, err := c.Write(b)
	s.count(n)
	return err
}

// pour writes hello and then as often frames as it takes for a while, reads nothing, and goes.
func pour(hello, frames []byte) func(*strike) {
	return func(s *strike) {
		c := s.dial()
		if c == nil {
			return
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(siegeVisit))
		err := s.write(c, hello)
		for err == nil {
			err = s.write(c, frames)
		}
	}
}

// insist is pour by a peer that takes all answers.
func insist(hello, frames []byte) func(*strike) {
	return func(s *strike) {
		c := s.dial()
		if c == nil {
			return
		}
		var reading sync.WaitGroup
		defer reading.Wait()
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(siegeVisit))
		reading.Go(func() { _, _ = io.Copy(io.Discard, c) })
		err := s.write(c, hello)
		for err == nil {
			err = s.write(c, frames)
		}
	}
}

// drop writes frames once and resets the connection.
func drop(frames []byte) func(*strike) {
	return func(s *strike) {
		if c := s.dial(); c != nil {
			s.count(1) // the connection
			_ = s.write(c, frames)
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}
	}
}

// ask writes each of some requests on a connection of its own, and reads what comes.
func ask(requests ...[]byte) func(*strike) {
	return func(s *strike) {
		for _, r := range requests {
			c := s.dial()
			if c == nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(siegeVisit))
			if s.write(c, r) == nil {
				_, _ = io.Copy(io.Discard, c)
			}
			_ = c.Close()
		}
	}
}

// drip opens so many connections, writes hello to each and then now and then one byte of rest, as long as they stay open.
func drip(conns int, hello, rest []byte) func(*strike) {
	return func(s *strike) {
		var open []net.Conn
		for range conns {
			c := s.dial()
			if c == nil {
				continue
			}
			open = append(open, c)
			if len(hello) == 0 {
				s.count(1) // silence
			} else if s.write(c, hello) != nil {
				_ = c.Close()
			}
		}
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for sent := 0; s.ctx.Err() == nil; {
			select {
			case <-tick.C:
			case <-s.ctx.Done():
			}
			if sent == len(rest) {
				continue
			}
			for _, c := range open {
				_ = s.write(c, rest[sent:sent+1])
			}
			sent++
		}
		for _, c := range open {
			_ = c.Close()
		}
	}
}
