package gateway

import (
	"sync/atomic"
	"time"
)

// retireGrace is how long a connection whose peer is no longer trusted may take to finish its requests.
const retireGrace = 30 * time.Second

// retirement ends a connection whose peer is no longer trusted.
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
