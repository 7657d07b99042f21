package gateway

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// readDeadline is the read deadline of a connection. net/http sets several for each request, so the socket's is only moved when
// it would be too late, or when it has passed.
type readDeadline struct {
	mu     sync.Mutex
	wanted time.Time // zero: none
	set    time.Time // of the socket, never later
}

// move sets the deadline, which takes effect at once on a pending read.
func (d *readDeadline) move(nc net.Conn, t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = t
	if isBefore(t, d.set) {
		return d.apply(nc, t)
	}
	return nil
}

// read reads from nc.
func (d *readDeadline) read(nc net.Conn, b []byte) (n int, err error) {
	d.begin(nc)
	for {
		n, err = nc.Read(b)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !d.postpone(nc) {
			return n, err
		}
	}
}

// begin moves a deadline of the socket that lies in the past because it ended the last read.
func (d *readDeadline) begin(nc net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.set.IsZero() || d.set.Unix() > 1 || d.set.Equal(d.wanted) {
		return
	}
	t := time.Now().Add(headerTimeout) // the shortest that net/http sets: it need not be moved again
	if isBefore(d.wanted, t) {
		t = d.wanted
	}
	_ = d.apply(nc, t)
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

// isBefore reports whether a deadline is before another; zero is none.
func isBefore(t, other time.Time) bool { return !t.IsZero() && (other.IsZero() || t.Before(other)) }
