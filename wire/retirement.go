package wire

import (
	"sync"
	"time"
)

// retireGrace bounds the time for the last calls of a connection after its peer has lost trust.
const retireGrace = 30 * time.Second

// retirement drains a connection when its peer loses trust, and closes it after retireGrace in any case. It also drains a
// connection that is old.
type retirement struct {
	conn *serverConn

	mu    sync.Mutex
	timer *time.Timer // of begin, then of cut; may be nil
	aging *time.Timer // may be nil
	begun bool
	over  bool // the connection has ended
}

// schedule has the retirement begin when the certificate of the peer expires.
func (r *retirement) schedule(expiry time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timer = time.AfterFunc(time.Until(expiry), r.begin)
}

// endAt has the connection drained at an age.
func (r *retirement) endAt(age time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.aging = time.AfterFunc(age, r.conn.deadlines.drain)
}

func (r *retirement) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.begun || r.over {
		return
	}
	r.begun = true
	r.stop()
	r.timer = time.AfterFunc(retireGrace, r.cut)
	r.conn.deadlines.drain()
}

func (r *retirement) cut() {
	if r.conn.sendGoAway() {
		time.Sleep(goAwayGrace)
	}
	r.conn.fail(ErrServerClosed)
}

// end is called when the connection has ended.
func (r *retirement) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	r.stop()
	if r.aging != nil {
		r.aging.Stop()
	}
}

// stop needs r.mu.
func (r *retirement) stop() {
	if r.timer != nil {
		r.timer.Stop()
	}
}
