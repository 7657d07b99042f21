package wire

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	drainQuiet = 100 * time.Millisecond // silence after which a draining server closes a connection
	sleepAfter = 2 * time.Second        // silence after which a connection gives its memory back
	stallAfter = time.Second            // without progress a frame's body is cut when memory is short
)

var (
	errFirstByte = errors.New("no byte in time")
	errBody      = errors.New("a frame was not complete in time")
	errIdle      = errors.New("idle for too long")
	errDrained   = errors.New("drained")
	errAsleep    = errors.New("asleep")
)

// patience is a connection as its Reader sees it: reading, with all the deadlines that a peer has to keep. Deadlines
// are looked at when they have passed, so that a busy connection sets none.
type patience struct {
	c        *serverConn
	lastRead time.Time   // belongs to the reader
	lastLost time.Time   // belongs to the reader: lastRead, at the last look after the peer was lost
	inBody   bool        // belongs to the reader
	bodyEnd  time.Time   // belongs to the reader: when the body has to be complete
	toldAt   time.Time   // belongs to the reader: when the peer was told of the drain
	toTell   atomic.Bool // the peer has yet to be told
	kicked   chan struct{}
	ahead    []byte            // what was read asleep
	first    [HeaderBytes]byte // memory of ahead

	mu       sync.Mutex
	until    time.Time // the deadline, also while the reader is being kicked
	draining bool
}

func (p *patience) init(c *serverConn) {
	p.c = c
	p.kicked = make(chan struct{}, 1)
	p.set(time.Now().Add(c.lim.FirstByteTimeout))
}

// Read reads what is there. The time when it came is that of the frames in it.
func (p *patience) Read(b []byte) (int, error) {
	if len(p.ahead) > 0 {
		n := copy(b, p.ahead)
		p.ahead = p.ahead[n:]
		p.lastRead = time.Now()
		p.set(p.lastRead.Add(p.nextLook()))
		return n, nil
	}
	for {
		n, err := p.c.conn.Read(b)
		if n > 0 {
			first := p.lastRead.IsZero()
			p.lastRead = time.Now()
			if first {
				p.set(p.lastRead.Add(p.nextLook()))
			}
			return n, nil
		}
		if !timedOut(err) {
			return n, err
		}
		if err := p.overdue(time.Now()); err != nil {
			return 0, err
		}
	}
}

func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// set sets the read deadline; later, while the reader is being kicked.
func (p *patience) set(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until = t
	if !p.toTell.Load() {
		_ = p.c.conn.SetReadDeadline(t)
	}
}

// body is called when the rest of a frame must be waited for.
func (p *patience) body() {
	now := time.Now()
	p.inBody, p.bodyEnd = true, now.Add(p.c.lim.BodyTimeout)
	p.set(earliest(p.bodyEnd, now.Add(stallAfter)))
}

// frameRead is called when a frame is complete.
func (p *patience) frameRead() {
	if p.inBody {
		p.inBody = false
		p.set(p.lastRead.Add(p.nextLook()))
	}
}

func (p *patience) nextWait() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.draining {
		return drainQuiet
	}
	return p.c.lim.IdleTimeout
}

// nextLook is when to look whether the connection is silent.
func (p *patience) nextLook() time.Duration { return min(p.nextWait(), sleepAfter) }

// overdue tells why the connection has to end, or sets the next deadline.
func (p *patience) overdue(now time.Time) error {
	if p.toTell.Load() {
		p.c.tellDrain()
		return nil
	}
	if p.c.lost.Load() {
		return p.overdueLost(now)
	}
	p.mu.Lock()
	until, draining := p.until, p.draining
	p.mu.Unlock()
	switch {
	case now.Before(until):
		p.set(until)
		return nil
	case p.inBody && (!now.Before(p.bodyEnd) || p.stalls(now)):
		return errBody
	case p.inBody:
		p.set(earliest(p.bodyEnd, now.Add(stallAfter)))
		return nil
	case p.lastRead.IsZero() && !draining:
		return errFirstByte
	}
	quiet := now.Sub(p.c.quietFrom(latest(p.lastRead, p.toldAt), now))
	wait := p.nextWait()
	switch {
	case quiet >= wait && draining:
		return errDrained
	case quiet >= wait:
		return errIdle
	case quiet >= sleepAfter && !draining:
		p.set(now.Add(wait - quiet))
		return errAsleep
	}
	p.set(now.Add(p.nextLook() - quiet))
	return nil
}

// overdueLost ends a connection that cannot be written to when nothing has come since it was looked at last. What the
// peer sent before is still there, and the reader may have been held up with it.
func (p *patience) overdueLost(now time.Time) error {
	if p.lastLost.Equal(p.lastRead) {
		return errSentClosed
	}
	p.lastLost = p.lastRead
	p.set(now.Add(lingerWait))
	return nil
}

// quietFrom is since when nothing has happened on the connection: the end of the last call, when that is later than t,
// or now, while there is something to do.
func (c *serverConn) quietFrom(t, now time.Time) time.Time {
	c.mu.Lock()
	busy, since := c.flight.n > 0, c.quietSince
	c.mu.Unlock()
	if busy || !c.out.idle() {
		return now
	}
	return latest(t, since)
}

// stalls reports whether a frame of which nothing comes holds memory that others need.
func (p *patience) stalls(now time.Time) bool {
	return p.c.in.holds() && now.Sub(p.lastRead) >= stallAfter && p.c.srv.budget.Short()
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
