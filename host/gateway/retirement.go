package gateway

import (
	"sync/atomic"
	"time"
)

// retireGrace bounds the time for the last requests of a connection after its peer has lost trust.
const retireGrace = 30 * time.Second

// retirement ends a connection after its peer has lost trust.
type retirement struct {
	since atomic.Int64 // in nanoseconds since 1970; 0: it has not begun
}

func (r *retirement) begun() bool { return r.since.Load() != 0 }

// advance begins or continues the retirement: it drains an HTTP/2 connection, closes another one if it is idle, and closes either
// after retireGrace.
func (r *retirement) advance(c *conn, now time.Time) {
	first := r.since.CompareAndSwap(0, now.UnixNano())
	switch {
	case !first && now.Sub(time.Unix(0, r.since.Load())) > retireGrace:
		_ = c.Conn.Close()
	case c.frames.Load() != nil:
		c.drain()
	case c.idle.Load():
		c.reads.expire(c.Conn, now.Add(idleGrace))
	}
}
