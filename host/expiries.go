package host

import (
	"log/slog"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/telemetry"
)

// longestTimer is how long is waited at most before the clock is looked at again: it may be set meanwhile.
const longestTimer = time.Hour

// expiries tell when rules and tokens expire, and some days before. One timer waits for whatever comes next. What is past
// when a set is applied is told by its warnings.
type expiries struct {
	tell func(e config.Expiry, over bool)

	mu     sync.Mutex
	list   []config.Expiry // of the set in force, the soonest first
	until  time.Time       // what came before is told
	timer  *time.Timer
	closed bool
}

// follow waits for what expires of a set.
func (x *expiries) follow(set *config.Set) {
	x.advance(func() { x.list = set.Expiries() })
}

// advance tells what came since the last time, of the set that was in force.
func (x *expiries) advance(then func()) {
	now := time.Now()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return
	}
	for _, e := range x.list {
		if came := func(t time.Time) bool { return t.After(x.until) && !t.After(now) }; came(e.At) {
			x.tell(e, true)
		} else if came(e.At.Add(-config.ExpiresSoon)) {
			x.tell(e, false)
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
		for _, at := range [...]time.Time{e.At.Add(-config.ExpiresSoon), e.At} {
			if at.After(now) && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
	}
	if !next.IsZero() {
		x.timer = time.AfterFunc(min(next.Sub(now), longestTimer), func() { x.advance(func() {}) })
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

// expires logs that a rule or a token has expired, or soon will.
func (h *Host) expires(e config.Expiry, over bool) {
	level, what := slog.LevelWarn, "rule"
	attrs := []slog.Attr{slog.Any("kinds", e.Kinds), slog.String("mode", string(e.Mode))}
	if e.Rule == "" {
		what, attrs = "token", []slog.Attr{slog.String("caller", e.Caller)}
	}
	msg := "a " + what + " expires soon"
	if over {
		msg = "a " + what + " has expired"
		if e.Rule != "" && !e.Opens() {
			level = slog.LevelInfo
		}
	}
	attrs = append(attrs, slog.String("effect", e.Effect()), slog.Time("expires", e.At))
	if e.Position.File != "" {
		attrs = append(attrs, slog.Int("line", e.Position.Line))
	}
	// Tokens of one file are often issued, and expire, by the thousand.
	kind := telemetry.LogKey{Subject: telemetry.LogAttrs{{"rule", e.Rule}, {"file", e.Position.File}}}
	h.sampler.Log(level, msg, kind, func() []slog.Attr { return attrs })
}

// shownExpiries is how much of what expires is in status: tokens are often issued by the thousand.
const shownExpiries = 200

// expiryViews are what has expired, or soon will, and how much more there is.
func expiryViews(set *config.Set, now time.Time) (list []admin.Expiry, more int) {
	list = []admin.Expiry{}
	for _, e := range set.Expiries() {
		if e.At.Sub(now) > config.ExpiresSoon {
			break
		}
		if len(list) == shownExpiries {
			more++
			continue
		}
		v := admin.Expiry{
			Rule: e.Rule, Caller: e.Caller, Mode: string(e.Mode), At: e.At, Expired: !now.Before(e.At), Opens: e.Opens(), Effect: e.Effect(),
			Position: e.Position.String(),
		}
		for _, k := range e.Kinds {
			v.Kinds = append(v.Kinds, string(k))
		}
		list = append(list, v)
	}
	return list, more
}
