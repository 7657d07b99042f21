package host

import (
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
)

// maxTimer bounds a wait before the clock is read again: it may be set meanwhile.
const maxTimer = time.Hour

// expiries report when rules, tokens and certificates expire, and some days before. One timer waits for the next. Those that have passed
// when a set is applied are among its warnings.
type expiries struct {
	report func(e config.Expiry, over bool)

	mu     sync.Mutex
	list   []config.Expiry // of the set in force, the soonest first
	until  time.Time       // earlier ones are reported
	timer  *time.Timer
	closed bool
}

// follow waits for what expires in a set.
func (x *expiries) follow(set *config.Set) {
	x.advance(func() { x.list = set.Expiries() })
}

// advance reports what has come since the last time.
func (x *expiries) advance(then func()) {
	now := time.Now()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return
	}
	for _, e := range x.list {
		if came := func(t time.Time) bool { return t.After(x.until) && !t.After(now) }; came(e.At) {
			x.report(e, true)
		} else if came(e.SoonFrom()) {
			x.report(e, false)
		}
	}
	x.until = now
	then()
	x.arm(now)
}

func (x *expiries) arm(now time.Time) {
	if x.timer != nil {
		x.timer.Stop()
	}
	var next time.Time
	for _, e := range x.list {
		for _, at := range [...]time.Time{e.SoonFrom(), e.At} {
			if at.After(now) && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
	}
	if !next.IsZero() {
		x.timer = time.AfterFunc(min(next.Sub(now), maxTimer), func() { x.advance(func() {}) })
	}
}

func (x *expiries) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	if x.timer != nil {
		x.timer.Stop()
	}
}
