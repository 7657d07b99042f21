package host

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/machine"
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
	cpu      machine.CPU
	fault    func(*policies.Options) // set by tests, to have rules panic
}

func (p *rules) plan(_ context.Context, prev, next *generation) (step, error) {
	var before *policies.Snapshot
	if prev != nil {
		before = prev.policies
	}
	o := compileOptions(next.set, p.name)
	o.Revision, o.OnTransition, o.Pool = next.revision, p.logTransition, p.pool
	o.OnBroken = func(b policies.Broken) { p.ruleBroke(next, &b) }
	o.CPU = p.load()
	o.Restore, o.Holds = next.restores, next.overrides.holds()
	if p.fault != nil {
		p.fault(&o)
	}
	changed := next.changes.Subjects()
	edited := func(rule string) bool { return prev == nil || changed[rule] }
	if err := policies.Taste(next.set.Rules, edited, o); err != nil {
		return nil, err
	}
	var err error
	if next.policies, err = policies.Compile(next.set.Rules, next.routes.Targets(), before, o); err != nil {
		return nil, err
	}
	next.warnings = slices.Concat(next.warnings, next.out.Warnings, next.policies.Unmatched()).Sort()
	next.routes.Bind(next.policies, p.metrics)
	return commitOnly(func(context.Context) {
		p.expiries.follow(next.set)
		p.shadows.follow(next)
		p.cpu.Measure(next.policies.Sheds())
	}), nil
}

// load returns the function that returns the CPU utilization; nil if it cannot be measured.
func (p *rules) load() func() policies.Load {
	if !machine.HasCPU() {
		return nil
	}
	return func() policies.Load {
		u := p.cpu.Utilization()
		return policies.Load{Utilization: u.Share, Cores: u.Cores, Over: u.Over}
	}
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

func targetsOf(methods []policies.Target) []config.Target {
	list := make([]config.Target, len(methods))
	for i, t := range methods {
		list[i] = config.Target(t)
	}
	return list
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

// ruleBroke logs that a kind of a rule has panicked, and reports it to the window of the edit. It runs on the goroutine of a
// call, maybe with locks of rules held.
func (p *rules) ruleBroke(g *generation, b *policies.Broken) {
	p.log.Error("a rule is broken: it "+b.Effect()+" from now on; this is a bug of easymicro", "rule", b.Rule, "kind", string(b.Kind),
		"mode", string(b.Mode), "position", b.Position.String(), "revision", g.revision, "panic", b.Panic, "stack", b.Stack)
	if w := g.window.Load(); w != nil {
		w.ruleBroke(b)
	}
}

// brokenRules returns a warning for each kind of a rule that has panicked.
func brokenRules(g *generation) (warnings config.Problems) {
	for _, b := range g.policies.Broken() {
		p := b.Position.Problem("rules["+b.Rule+"]."+string(b.Kind), fmt.Sprintf("rule %s is broken: its %s %s; this is a bug of easymicro, "+
			"whose log has the stack: %s", b.Rule, b.Kind, b.Effect(), b.Panic))
		p.Warning = true
		warnings = append(warnings, p)
	}
	return warnings
}

// logExpiry logs that a rule, a token or a certificate has expired, or will soon.
func (p *rules) logExpiry(e config.Expiry, over bool) {
	level, what := slog.LevelWarn, "rule"
	attrs := []slog.Attr{slog.Any("kinds", e.Kinds), slog.String("mode", string(e.Mode))}
	switch {
	case e.Certificate != "":
		what, attrs = "certificate", []slog.Attr{slog.String("certificate", e.Certificate)}
	case e.Operator != "":
		what, attrs = "token", []slog.Attr{slog.String("operator", e.Operator)}
	case e.Rule == "":
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
