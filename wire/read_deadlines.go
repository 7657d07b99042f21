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
	sleepAfter = 2 * time.Second        // silence after which a connection frees its buffers
	stallAfter = time.Second            // when memory is short, time without progress after which the connection is closed
	lingerWait = 250 * time.Millisecond // time to read what a peer sent before it noticed the end
)

var (
	errFirstByte = errors.New("no byte in time")
	errBody      = errors.New("a frame was not complete in time")
	errIdle      = errors.New("idle for too long")
	errDrained   = errors.New("drained")
	errAsleep    = errors.New("asleep")
)

// readOwner is the connection, which readDeadlines consult when a deadline has passed.
type readOwner interface {
	// announceDrain sends the drain frame to the peer.
	announceDrain()
	// unwritable reports whether the connection can no longer be written to.
	unwritable() bool
	// quietFrom returns the start of the current silence: the later of t and the end of the last call, or now while there is
	// work.
	quietFrom(t, now time.Time) time.Time
	// rouse has the connection read if it is asleep.
	rouse()
	// readHolds reports whether a half-read frame holds memory while the budget is short.
	readHolds() bool
}

// readDeadlines reads a connection and enforces the deadlines of its peer. A deadline is only moved once it has passed, so
// that a busy connection sets none.
type readDeadlines struct {
	conn  net.Conn
	lim   *Limits
	owner readOwner

	// Used by the reader only.
	lastRead    time.Time
	lastLost    time.Time // lastRead at the previous check after the connection became unwritable
	inBody      bool
	bodyEnd     time.Time // deadline of the body
	announcedAt time.Time // when the drain was announced
	ahead       []byte    // read while asleep
	dozes       bool      // no call has arrived since it was asleep
	first       [HeaderBytes]byte

	announcing  atomic.Bool // the reader is to announce the drain
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

// Read implements io.Reader. lastRead is the time of arrival of what it returns.
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

// sleep waits for the next byte, without a buffer.
func (d *readDeadlines) sleep() {
	n, _ := d.conn.Read(d.first[:]) // an error is returned again by the next Read
	d.ahead = d.first[:n]
}

// ends returns when a connection that is asleep has been idle for too long.
func (d *readDeadlines) ends() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.until
}

// callArrived is called for a call. The deadline of a connection that was asleep is the end of its idleness, which would keep
// its buffers until then.
func (d *readDeadlines) callArrived() {
	if d.dozes {
		d.dozes = false
		d.set(d.lastRead.Add(d.nextCheck()))
	}
}

// sleepOn returns errAsleep if the connection may sleep on at once, after a heartbeat, instead of after a while. It may not
// while the connection, such as one of TLS, has read more than it has returned: the socket would never be readable.
func (d *readDeadlines) sleepOn() error {
	if !d.dozes || d.announcing.Load() || d.owner.unwritable() {
		return nil
	}
	d.set(time.Unix(1, 0))
	n, err := d.conn.Read(d.first[:])
	d.ahead = d.first[:n]
	d.set(d.lastRead.Add(d.maxQuiet()))
	if n > 0 || !timedOut(err) {
		return nil
	}
	return errAsleep
}

// set sets the read deadline, now or, while the reader is interrupted, in announced.
func (d *readDeadlines) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.until = t
	if !d.announcing.Load() {
		_ = d.conn.SetReadDeadline(t)
	}
}

// body is called when the rest of a frame has not arrived yet.
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

// drain interrupts the reader, which then announces the drain.
func (d *readDeadlines) drain() {
	if d.interrupt() {
		d.owner.rouse()
	}
}

// interrupt reports whether the connection was not draining.
func (d *readDeadlines) interrupt() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.draining {
		return false
	}
	d.draining = true
	d.announcing.Store(true)
	_ = d.conn.SetReadDeadline(time.Unix(1, 0))
	d.interrupted <- struct{}{}
	return true
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

// maxQuiet returns the silence after which the connection ends.
func (d *readDeadlines) maxQuiet() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.draining {
		return drainQuiet
	}
	return d.lim.IdleTimeout
}

// nextCheck returns the silence after which the connection is checked.
func (d *readDeadlines) nextCheck() time.Duration { return min(d.maxQuiet(), sleepAfter) }

// overdue returns an error if the connection must end, or sets the next deadline.
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

// overdueUnwritable ends the connection if nothing has arrived since the previous check. Until then there may still be
// unread bytes.
func (d *readDeadlines) overdueUnwritable(now time.Time) error {
	if d.lastLost.Equal(d.lastRead) {
		return errWriteClosed
	}
	d.lastLost = d.lastRead
	d.set(now.Add(lingerWait))
	return nil
}

// stalls reports whether a frame makes no progress while it holds memory that others need.
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
