package host

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/client"
)

// rules compiles the rules of a set and logs their transitions.
type rules struct {
	*core
	pool     *client.Pool
	expiries expiries
}

func (p *rules) plan(_ context.Context, prev, next *generation) (step, error) {
	var before *policies.Snapshot
	if prev != nil {
		before = prev.policies
	}
	o := compileOptions(next.set, p.name)
	o.Revision, o.OnTransition, o.Pool = next.revision, p.logTransition, p.pool
	var err error
	if next.policies, err = policies.Compile(next.set.Rules, next.routes.Targets(), before, o); err != nil {
		return nil, err
	}
	next.warnings = slices.Concat(next.warnings, next.out.Warnings, next.policies.Unmatched()).Sort()
	next.routes.Bind(next.policies, p.metrics)
	return commitOnly(func(context.Context) { p.expiries.follow(next.set) }), nil
}

// compileOptions returns what the rules need to know of a set.
func compileOptions(set *config.Set, host string) policies.Options {
	o := policies.Options{
		Host: host, Aliases: aliases(set.Manifest), Upstreams: set.Manifest.UpstreamNames(), Remote: route.RemoteServices(set.Manifest),
	}
	if o.Remote != nil {
		o.Upstreams = nil // every service that discovery knows is one
		o.Allowed = append(set.Manifest.UpstreamNames(), set.Manifest.Gateway.Remote.Services...)
	}
	return o
}

// aliases returns the other names of the services, each with the name that rules use.
func aliases(m *config.Manifest) map[string]string {
	names := make(map[string]string)
	for i := range m.Services {
		for _, alias := range m.Services[i].Aliases {
			names[alias] = m.Services[i].Name
		}
	}
	return names
}

// logTransition logs a transition of a breaker, of an endpoint, or of a rate limit that runs out of keys. It runs on the
// goroutine of a call.
func (p *rules) logTransition(t policies.Transition) {
	if t.Kind == config.KindRateLimit {
		p.ranOutOfKeys(t)
		return
	}
	level, what, is := slog.LevelInfo, "breaker", " "
	if t.Kind == config.KindOutlierDetection {
		what = "endpoint"
	}
	switch {
	case t.Mode == config.Shadow:
		is = " would be " // a search for "breaker open" must not find it
	case t.To == "open" || t.To == "ejected":
		level = slog.LevelWarn
	}
	what += is + strings.ReplaceAll(t.To, "_", "-")
	attrs := []any{"rule", t.Rule}
	if t.Mode == config.Shadow {
		attrs = append(attrs, "mode", string(t.Mode))
	}
	if t.Upstream == "" {
		attrs = append(attrs, "method", t.Target)
	} else {
		attrs = append(attrs, "upstream", t.Upstream, "target", t.Target)
	}
	attrs = append(attrs, "from", t.From)
	if t.Cause != "" {
		attrs = append(attrs, "cause", t.Cause)
	}
	p.log.Log(context.Background(), level, what, attrs...)
}

// ranOutOfKeys logs that calls with different keys share a bucket.
func (p *rules) ranOutOfKeys(t policies.Transition) {
	level, attrs := slog.LevelWarn, []any{"rule", t.Rule}
	if t.Mode == config.Shadow {
		level, attrs = slog.LevelInfo, append(attrs, "mode", string(t.Mode))
	}
	p.log.Log(context.Background(), level, "rate limit ran out of keys", append(attrs, "cause", t.Cause)...)
}

// logExpiry logs that a rule or a token has expired, or will soon.
func (p *rules) logExpiry(e config.Expiry, over bool) {
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
	p.sampler.Log(level, msg, kind, func() []slog.Attr { return attrs })
}

// maxTimer bounds a wait before the clock is read again: it may be set meanwhile.
const maxTimer = time.Hour

// expiries report when rules and tokens expire, and some days before. One timer waits for the next. What is past when
// a set is applied is among its warnings.
type expiries struct {
	report func(e config.Expiry, over bool)

	mu     sync.Mutex
	list   []config.Expiry // of the set in force, the soonest first
	until  time.Time       // what came before is reported
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
		} else if came(e.At.Add(-config.ExpiresSoon)) {
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
		for _, at := range [...]time.Time{e.At.Add(-config.ExpiresSoon), e.At} {
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
