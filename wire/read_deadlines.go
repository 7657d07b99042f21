package wire

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	drainQuiet = 100 * time.Millisecond // silence after which a draining server closes a connection
	sleepAfter = 2 * time.Second        // silence after which a connection frees its memory
	stallAfter = time.Second            // a body that makes no progress for so long is cut when memory is short
	lingerWait = 250 * time.Millisecond // for what a peer has sent before it learned that the connection ends
)

var (
	errFirstByte = errors.New("no byte in time")
	errBody      = errors.New("a frame was not complete in time")
	errIdle      = errors.New("idle for too long")
	errDrained   = errors.New("drained")
	errAsleep    = errors.New("asleep")
)

// readOwner is what readDeadlines ask when a deadline has passed.
type readOwner interface {
	// announceDrain announces to the peer that the server drains.
	announceDrain()
	// unwritable reports whether the connection cannot be written to any more.
	unwritable() bool
	// quietFrom returns since when nothing has happened: t, the end of the last call, or now while there is work.
	quietFrom(t, now time.Time) time.Time
	// readHolds reports whether a half-read frame holds memory that others need.
	readHolds() bool
}

// readDeadlines reads a connection and enforces the deadlines of its peer. They are checked when they have passed, so that
// a busy connection sets none.
type readDeadlines struct {
	conn  net.Conn
	lim   *Limits
	owner readOwner

	// These belong to the reader.
	lastRead    time.Time
	lastLost    time.Time // lastRead at the previous check after the connection became unwritable
	inBody      bool
	bodyEnd     time.Time // the body must be complete then
	announcedAt time.Time // when the drain was announced
	ahead       []byte    // read while asleep
	first       [HeaderBytes]byte

	announcing  atomic.Bool // the drain has yet to be announced
	interrupted chan struct{}

	mu       sync.Mutex
	until    time.Time // the read deadline; not set on conn while announcing
	draining bool
}

func (d *readDeadlines) init(conn net.Conn, lim *Limits, owner readOwner) {
	d.conn, d.lim, d.owner = conn, lim, owner
	d.interrupted = make(chan struct{}, 1)
	d.set(time.Now().Add(lim.FirstByteTimeout))
}

// Read reads what is there. The frames in it count as read at that time.
func (d *readDeadlines) Read(b []byte) (int, error) {
	if len(d.ahead) > 0 {
		n := copy(b, d.ahead)
		d.ahead = d.ahead[n:]
		d.lastRead = time.Now()
		d.set(d.lastRead.Add(d.nextCheck()))
		return n, nil
	}
	for {
		n, err := d.conn.Read(b)
		if n > 0 {
			first := d.lastRead.IsZero()
			d.lastRead = time.Now()
			if first {
				d.set(d.lastRead.Add(d.nextCheck()))
			}
			return n, nil
		}
		if !timedOut(err) {
			return n, err
		}
		if err := d.overdue(time.Now()); err != nil {
			return 0, err
		}
	}
}

// sleep waits for the next byte.
func (d *readDeadlines) sleep() {
	n, _ := d.conn.Read(d.first[:]) // an error is returned again by the next Read
	d.ahead = d.first[:n]
}

// set sets the read deadline, once the reader is not interrupted.
func (d *readDeadlines) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.until = t
	if !d.announcing.Load() {
		_ = d.conn.SetReadDeadline(t)
	}
}

// body is called when the rest of a frame must be waited for.
func (d *readDeadlines) body() {
	now := time.Now()
	d.inBody, d.bodyEnd = true, now.Add(d.lim.BodyTimeout)
	d.set(earliest(d.bodyEnd, now.Add(stallAfter)))
}

// frameRead is called when a frame is complete.
func (d *readDeadlines) frameRead() {
	if d.inBody {
		d.inBody = false
		d.set(d.lastRead.Add(d.nextCheck()))
	}
}

// drain interrupts the reader to have it announce the drain.
func (d *readDeadlines) drain() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.draining {
		return
	}
	d.draining = true
	d.announcing.Store(true)
	_ = d.conn.SetReadDeadline(time.Unix(1, 0))
	d.interrupted <- struct{}{}
}

// announced is called when the drain has been announced.
func (d *readDeadlines) announced(now time.Time) {
	select {
	case <-d.interrupted:
	default:
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.announcing.Store(false)
	d.announcedAt = now
	if !d.inBody {
		d.until = now.Add(drainQuiet)
	}
	_ = d.conn.SetReadDeadline(d.until)
}

// maxQuiet is the silence that ends the connection.
func (d *readDeadlines) maxQuiet() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.draining {
		return drainQuiet
	}
	return d.lim.IdleTimeout
}

// nextCheck is the silence after which the connection is checked.
func (d *readDeadlines) nextCheck() time.Duration { return min(d.maxQuiet(), sleepAfter) }

// overdue returns why the connection has to end, or sets the next deadline.
func (d *readDeadlines) overdue(now time.Time) error {
	if d.announcing.Load() {
		d.owner.announceDrain()
		return nil
	}
	if d.owner.unwritable() {
		return d.overdueUnwritable(now)
	}
	d.mu.Lock()
	until, draining := d.until, d.draining
	d.mu.Unlock()
	switch {
	case now.Before(until):
		d.set(until)
		return nil
	case d.inBody && (!now.Before(d.bodyEnd) || d.stalls(now)):
		return errBody
	case d.inBody:
		d.set(earliest(d.bodyEnd, now.Add(stallAfter)))
		return nil
	case d.lastRead.IsZero() && !draining:
		return errFirstByte
	}
	quiet := now.Sub(d.owner.quietFrom(latest(d.lastRead, d.announcedAt), now))
	wait := d.maxQuiet()
	switch {
	case quiet >= wait && draining:
		return errDrained
	case quiet >= wait:
		return errIdle
	case quiet >= sleepAfter && !draining:
		d.set(now.Add(wait - quiet))
		return errAsleep
	}
	d.set(now.Add(d.nextCheck() - quiet))
	return nil
}

// overdueUnwritable ends the connection when nothing has arrived since the previous check. What the peer sent earlier may
// still be there, since the reader may have been held up.
func (d *readDeadlines) overdueUnwritable(now time.Time) error {
	if d.lastLost.Equal(d.lastRead) {
		return errWriteClosed
	}
	d.lastLost = d.lastRead
	d.set(now.Add(lingerWait))
	return nil
}

// stalls reports whether a frame that makes no progress holds memory that others need.
func (d *readDeadlines) stalls(now time.Time) bool {
	return now.Sub(d.lastRead) >= stallAfter && d.owner.readHolds()
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
