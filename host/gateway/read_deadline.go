package gateway

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// readDeadline is the read deadline of a connection. net/http sets several for each request, mostly while nothing is read. The
// socket's is only moved when a read would not end in time, or has ended too early.
type readDeadline struct {
	mu      sync.Mutex
	wanted  time.Time // zero: none
	set     time.Time // of the socket; not later while something is read
	reading bool
}

// move sets the deadline, which takes effect at once on a pending read.
func (d *readDeadline) move(nc net.Conn, t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = t
	if d.reading && isBefore(t, d.set) {
		return d.apply(nc, t)
	}
	return nil
}

// read reads from nc, with one reader at a time.
func (d *readDeadline) read(nc net.Conn, b []byte) (n int, err error) {
	if !d.begin(nc) {
		return 0, os.ErrDeadlineExceeded
	}
	for {
		n, err = nc.Read(b)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !d.postpone(nc) {
			break
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reading = false
	return n, err
}

// begin reports whether a read may begin. It may not after a deadline that is long past, by which net/http ends reads.
func (d *readDeadline) begin(nc net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case isLongPast(d.wanted):
		return false
	case isLongPast(d.set):
		t := time.Now().Add(headerTimeout) // the shortest that net/http sets: it need not be moved again
		if isBefore(d.wanted, t) {
			t = d.wanted
		}
		_ = d.apply(nc, t)
	case isBefore(d.wanted, d.set):
		_ = d.apply(nc, d.wanted)
	}
	d.reading = true
	return true
}

// postpone sets the deadline of the socket to the wanted one, and reports whether that is later.
func (d *readDeadline) postpone(nc net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.set.Equal(d.wanted) {
		return false
	}
	return d.apply(nc, d.wanted) == nil
}

// apply needs d.mu.
func (d *readDeadline) apply(nc net.Conn, t time.Time) error {
	d.set = t
	return nc.SetReadDeadline(t)
}

func isLongPast(t time.Time) bool { return !t.IsZero() && t.Unix() <= 1 }

// isBefore reports whether a deadline is before another; zero is none.
func isBefore(t, other time.Time) bool { return !t.IsZero() && (other.IsZero() || t.Before(other)) }
