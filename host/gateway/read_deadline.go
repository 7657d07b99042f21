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
	resting bool      // no byte of the next request has been read
	held    bool      // reads without a deadline wait
	changed sync.Cond // wanted or held, for a read that waits
}

// move sets the deadline, which takes effect at once on a pending read.
func (d *readDeadline) move(nc net.Conn, t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.resting = false
	return d.want(nc, t)
}

// rest sets the deadline between two requests.
func (d *readDeadline) rest(nc net.Conn, t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.resting = true
	return d.want(nc, t)
}

// expire sets an earlier deadline, if the connection is between two requests.
func (d *readDeadline) expire(nc net.Conn, t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.resting && isBefore(t, d.wanted) {
		_ = d.want(nc, t)
	}
}

// want needs d.mu.
func (d *readDeadline) want(nc net.Conn, t time.Time) error {
	d.wanted = t
	d.wake()
	if d.reading && isBefore(t, d.set) {
		return d.apply(nc, t)
	}
	return nil
}

// hold makes reads wait until release, or until a deadline is set. While it serves a request, net/http reads only to notice that
// the peer has left, and ends that read by a deadline in the past: for a short call the socket need not be read.
func (d *readDeadline) hold() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held = true
}

// release ends hold.
func (d *readDeadline) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held = false
	d.wake()
}

// wake needs d.mu.
func (d *readDeadline) wake() {
	if d.changed.L != nil {
		d.changed.Broadcast()
	}
}

// await waits while reads are held. It needs d.mu.
func (d *readDeadline) await() {
	for d.held && d.wanted.IsZero() {
		d.changed.L = &d.mu
		d.changed.Wait()
	}
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
	if n > 0 && d.resting {
		d.resting = false
		if t := time.Now().Add(headerTimeout); isBefore(d.wanted, t) { // the rest of the request may need longer
			d.wanted = t
		}
	}
	return n, err
}

// begin reports whether a read may begin. It may not after a deadline that is long past, by which net/http ends reads.
func (d *readDeadline) begin(nc net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.await()
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
