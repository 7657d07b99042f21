package wire

import (
	"errors"
	"strconv"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

var errSilent = errors.New("the peer is silent")

// read reads answers until the connection ends.
func (c *Conn) read() {
	in := NewReader(newListening(c), c.lim)
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
	c.server.learn(f)
	switch {
	case f.Heartbeat:
		c.echoed(f)
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

// echoed is called when a heartbeat has come: as the answer to one of ours, it may say how far the peer has got.
func (c *Conn) echoed(f *Frame) {
	if f.Type != Response {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.echoes == c.asks {
		return // nobody has asked
	}
	c.echoes++
	if begun, err := strconv.ParseUint(f.Metadata.Get(MetaBegun), 10, 64); err == nil {
		c.kept.run(begun)
	}
	if c.news != nil {
		close(c.news)
		c.news = nil
	}
}

// settle gives the caller what it waits for. The caller's frame and f are exchanged, so that nothing is copied.
func (c *Conn) settle(f *Frame, err error) {
	c.mu.Lock()
	if f.Type == Response && f.Seq < c.seq {
		c.unproven = c.unproven && c.lastOneWay > f.Seq
		if !c.kept.empty() && (f.Status == StatusNormal || !code.NotRun(f.Metadata.Get(MetaReason))) {
			c.kept.run(f.Seq) // calls begin in the order in which they come
		}
	}
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
	asked time.Time // when a heartbeat was sent after that; zero if none was
	taken int64     // how much the peer had taken by then
	busy  bool      // something was queued then, the heartbeat perhaps behind it
}

func newListening(c *Conn) *listening {
	l := &listening{c: c, last: time.Now()}
	if c.interval > 0 {
		_ = c.conn.SetReadDeadline(l.last.Add(c.interval)) // when it fails the first Read does
	}
	return l
}

func (l *listening) Read(b []byte) (int, error) {
	for {
		n, err := l.c.conn.Read(b)
		if n > 0 {
			l.heard()
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

// heard is called when something has come. After a heartbeat the deadline is that of the timeout: the next heartbeat
// would be late by it.
func (l *listening) heard() {
	l.last = time.Now()
	if !l.asked.IsZero() {
		l.asked = time.Time{}
		_ = l.c.conn.SetReadDeadline(l.last.Add(l.c.interval)) // when it fails the next Read does
	}
}

// overdue is called when a deadline has passed. The timeout counts from the heartbeat, which may have been sent late:
// a process that was stopped has not listened. It counts anew when the peer has taken something of what was queued before
// the heartbeat.
func (l *listening) overdue(now time.Time) error {
	c := l.c
	if next := l.last.Add(c.interval); now.Before(next) {
		return c.conn.SetReadDeadline(next)
	}
	if l.asked.IsZero() {
		l.asked, l.taken, l.busy = now, c.out.taken.Load(), !c.out.idle()
		c.askAgain()
	} else if taken := c.out.taken.Load(); taken != l.taken && l.busy {
		l.asked, l.taken, l.busy = now, taken, !c.out.idle()
	}
	next := l.asked.Add(c.timeout)
	if !now.Before(next) {
		return errSilent
	}
	return c.conn.SetReadDeadline(next)
}

// askAgain sends a heartbeat that peers of ours answer with how far they have got.
func (c *Conn) askAgain() {
	if c.server.stock() {
		c.ask(nil)
		return
	}
	c.ask(c.hello())
}
