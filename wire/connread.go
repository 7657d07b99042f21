package wire

import (
	"errors"
	"time"
)

var errSilent = errors.New("the peer is silent")

// read reads answers until the connection ends.
func (c *Conn) read() {
	in := NewReader(&listening{c: c, last: time.Now()}, c.lim)
	defer in.Release()
	var f Frame
	for {
		err := in.Read(&f)
		if err == nil {
			c.take(&f)
			continue
		}
		if !c.overLimit(&f, err) {
			c.fail(err)
			return
		}
	}
}

// overLimit fails the one call whose response is sound, but over a limit. It tells false for all other errors: they end
// the connection.
func (c *Conn) overLimit(f *Frame, err error) bool {
	var bad *FrameError
	if !errors.As(err, &bad) || bad.Fatal {
		return false
	}
	c.settle(f, badReply(err))
	return true
}

// take handles one frame. Heartbeats, and responses nobody waits for, are ignored: they have shown that the peer lives.
func (c *Conn) take(f *Frame) {
	switch {
	case f.Heartbeat:
	case f.Type == Response:
		c.settle(f, nil)
	case f.OneWay && f.Service == DrainPath:
		c.draining.Store(true)
		if f.Method == drainLast {
			c.neverRead(f.Seq)
		}
		c.changed()
	}
}

// settle gives the caller what it waits for. The caller's frame and f are exchanged, so that nothing is copied.
func (c *Conn) settle(f *Frame, err error) {
	c.mu.Lock()
	a, ok := c.pending[f.Seq]
	if ok && f.Type == Response {
		delete(c.pending, f.Seq)
		c.freePlace()
	}
	c.mu.Unlock()
	if !ok || f.Type != Response {
		return
	}
	*a.res, *f = *f, *a.res
	a.err = err
	a.got <- struct{}{}
}

// listening is the connection as the Reader sees it: when nothing comes for the interval a heartbeat asks whether the
// peer lives, and when nothing comes for the timeout after that it does not. Deadlines are looked at when they have
// passed, so that a busy connection sets none.
type listening struct {
	c     *Conn
	last  time.Time // when the last byte came
	asked bool
	set   bool
}

func (l *listening) Read(b []byte) (int, error) {
	if !l.set && l.c.interval > 0 {
		l.set = true
		_ = l.c.conn.SetReadDeadline(l.last.Add(l.c.interval))
	}
	for {
		n, err := l.c.conn.Read(b)
		if n > 0 {
			l.last, l.asked = time.Now(), false
			return n, nil
		}
		if !timedOut(err) {
			return n, err
		}
		if err := l.overdue(time.Now()); err != nil {
			return 0, err
		}
	}
}

func (l *listening) overdue(now time.Time) error {
	c := l.c
	next := l.last.Add(c.interval)
	if !now.Before(next) {
		next = next.Add(c.timeout)
		if !now.Before(next) {
			return errSilent
		}
		if !l.asked {
			l.asked = true
			if err := c.send(&Frame{Type: Request, Heartbeat: true, Seq: HeartbeatSeq}, false); err != nil {
				return err
			}
		}
	}
	return c.conn.SetReadDeadline(next)
}
