package gateway

import (
	"sync/atomic"
	"time"
)

// retireGrace bounds the time for the last requests of a connection after its peer has lost trust.
const retireGrace = 30 * time.Second

// retirement ends a connection after its peer has lost trust.
type retirement struct {
	since atomic.Int64 // an instant; 0: it has not begun
}

func (r *retirement) begun() bool { return r.since.Load() != 0 }

// advance begins or continues the retirement: it ends the connection, and closes it after retireGrace.
func (r *retirement) advance(c *conn, now time.Time) {
	first := r.since.CompareAndSwap(0, instant(now))
	if !first && now.Sub(timeOf(r.since.Load())) > retireGrace {
		_ = c.Conn.Close()
		return
	}
	r.end(c, now)
}

// isOld reports whether a connection has reached its maximum age.
func (*retirement) isOld(c *conn) bool { return c.maxAge > 0 && time.Since(c.opened) >= c.maxAge }

// end drains an HTTP/2 connection, and closes another one if it is idle.
func (*retirement) end(c *conn, now time.Time) {
	if c.frames.Load() != nil {
		c.drain()
	} else if c.idle.Load() {
		c.reads.expire(c.Conn, now.Add(idleGrace))
	}
}
