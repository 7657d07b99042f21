package host_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// moodyTill is an upstream that fails or hangs when it is told to.
type moodyTill struct{ fails, hangs atomic.Bool }

func (l *moodyTill) Mul(ctx context.Context, _ *args, _ *reply) error {
	if l.fails.Load() {
		return code.Errorf(code.Unavailable, "closed today")
	}
	answer := time.After(5 * time.Millisecond)
	if l.hangs.Load() {
		answer = nil
	}
	select {
	case <-answer:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

const undoneUpstream = `
services:
  - {name: Desk, handler: test.desk, uses: {till: till}}
  - {name: Arith, handler: test.arith}
upstreams: [{name: till, service: Till, connection: {connectTimeout: 20s}, resolve: {endpoints: [%q]}}]
auth: {identify: [token], tokens: {file: tokens.yaml}}
policies:
  files: [policies.d/*.yaml]
  watch: {debounce: 20ms, poll: 200ms}
  autoRollback: {window: 1s}
`

// An edit is undone for calls that fail if it can be the reason for that, and only then.
func TestWhichEditsAreUndoneForCallsThatFail(t *testing.T) {
	t.Parallel()
	none := "{name: none, match: {service: Arith}, rateLimit: {rate: 10000}}"
	outgoing := func(what string) string { return "{name: out, match: {upstream: till}, " + what + "}" }
	const before, after, at = 1, 2, 3 // the upstream fails some seconds before the edit, right after it, not at all
	for _, tt := range []struct {
		name   string
		before []string
		after  map[string]string
		fails  int
		want   bool
	}{
		{name: "timeout of calls out", before: []string{none, outgoing("timeout: 20s")}, after: writtenRules(none, outgoing("timeout: 1ms")), fails: at, want: true},
		{name: "timeout of calls out, with autoRollback: off", before: []string{none, outgoing("timeout: 20s")}, after: writtenRules(none, outgoing("autoRollback: off, timeout: 1ms")), fails: at},
		{name: "timeout of calls out, in shadow", before: []string{none, outgoing("timeout: 20s")}, after: writtenRules(none, outgoing("mode: shadow, timeout: 1ms")), fails: at},
		{
			name: "the longer timeout of calls out goes", before: []string{none, "{name: wide, match: {upstream: '*'}, timeout: 1ms}", outgoing("timeout: 20s")},
			after: writtenRules(none, "{name: wide, match: {upstream: '*'}, timeout: 1ms}"), fails: at, want: true,
		},
		{name: "calls out that another rule allowed", before: []string{none, outgoing("circuitBreaker: {minRequests: 50, failureRate: 50%}")}, after: writtenRules(none, outgoing("rateLimit: {rate: 1}")), fails: at, want: true},
		{name: "a rule in shadow, then the upstream fails", before: []string{none, outgoing("mode: shadow, timeout: 1s")}, after: writtenRules(none, outgoing("mode: shadow, timeout: 2s")), fails: after},
		{name: "tokens, then the upstream fails", before: []string{none}, after: map[string]string{"tokens.yaml": tokensFile("second-token", "")}, fails: after},
		{name: "a rule with autoRollback: off, then the upstream fails", before: []string{none}, after: writtenRules(none, "{name: in, match: {service: Desk}, autoRollback: off, timeout: 5s}"), fails: after},
		{name: "a retry since the upstream fails", before: []string{none}, after: writtenRules(none, outgoing("retry: {maxAttempts: 2}")), fails: before},
		{name: "a timeout since the upstream fails", before: []string{none}, after: writtenRules(none, "{name: in, match: {service: Desk}, timeout: 5s}"), fails: before},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			far := new(moodyTill)
			reg := registry.New()
			registry.Plain(far, registry.In(reg), registry.As("test.till"))
			till := hosttest.Start(t, "services: [{name: Till, handler: test.till}]\n", hosttest.Options{Registry: reg})
			h := hosttest.Start(t, untilUndone(fmt.Sprintf(undoneUpstream, till.Address), tt.want), hosttest.Options{Registry: deskPlant(t).reg, Files: map[string]string{
				policyFile: ruleFile(tt.before...), "tokens.yaml": tokensFile("partner-token", ""),
			}})
			var s running
			s.run(t, h, stream{service: "Desk", method: "Mul"}, stream{method: "Mul", n: 1})
			awaitThat(t, "traffic", func() bool { return s.ok.Load() > 300 })
			if tt.fails == before {
				awaitThat(t, "more traffic", func() bool { return s.ok.Load() > 2000 })
				far.fails.Store(true)
				awaitThat(t, "failed calls", func() bool { return s.failed.Load() > 1700 })
			}
			for name, text := range tt.after {
				h.Write(name, text)
			}
			if r := h.Revision(); r.Result != host.ResultApplied || r.Number != 2 {
				t.Fatalf("r%d %s %v %s", r.Number, r.Result, r.Problems, r.Error)
			}
			far.fails.Store(tt.fails != at)
			r := settled(t, h, 2)
			t.Log(r.Result, r.Verdict)
			if undone := r.Result == host.ResultRolledBack; undone != tt.want || undone && !strings.Contains(r.Verdict, " fail, ") && !strings.Contains(r.Verdict, " to till that r1 let through") {
				t.Errorf("r%d %s: %q, undone: want %v", r.Number, r.Result, r.Verdict, tt.want)
			}
		})
	}
}

// A certificate authority that is not that of the upstream makes calls fail once connections are made anew.
func TestAnAuthorityThatIsWrongIsUndone(t *testing.T) {
	t.Parallel()
	far, _ := startTill(t, 0)
	ca := hosttest.NewAuthority(t)
	front := startTLSFront(t, ca, "billing.internal", far.Address)
	cert, key := ca.Issue(t, "host-1")
	h := hosttest.Start(t, fmt.Sprintf(`
services: [{name: Desk, handler: test.desk, uses: {till: till}}]
upstreams:
  - {name: till, service: Till, resolve: {endpoints: [%q]}, tls: {caFile: ca.pem, certFile: host.pem, keyFile: host.key, serverName: billing.internal}}
policies: {watch: {debounce: 20ms, poll: 200ms}, autoRollback: {window: 1m}}
`, front.address), hosttest.Options{Registry: deskPlant(t).reg, Files: map[string]string{"ca.pem": ca.PEM, "host.pem": cert, "host.key": key}})
	var s running
	s.run(t, h, stream{service: "Desk", method: "Mul"})
	awaitThat(t, "traffic", func() bool { return s.ok.Load() > 200 })
	h.Write("ca.pem", hosttest.NewAuthority(t).PEM)
	if r := h.Revision(); r.Result != host.ResultApplied || r.Number != 2 {
		t.Fatalf("r%d %s %v %s", r.Number, r.Result, r.Problems, r.Error)
	}
	if r := settled(t, h, 2); r.Result != host.ResultRolledBack || !strings.Contains(r.Verdict, " fail, 0 % did before r2") {
		t.Errorf("r%d %s: %q", r.Number, r.Result, r.Verdict)
	}
	before := s.ok.Load()
	awaitThat(t, "calls after the rollback", func() bool { return s.ok.Load() > before+100 })
}

// Peers that restart one after the other are no reason to undo an edit that affects them.
func TestARestartOfPeersInAWindowUndoesNothing(t *testing.T) {
	t.Parallel()
	addresses := [...]string{wiretest.Address(t), wiretest.Address(t), wiretest.Address(t)}
	var peers [len(addresses)]*hosttest.Host
	for i, a := range addresses {
		peers[i] = startTillAt(t, a)
	}
	manifest := strings.Replace(fmt.Sprintf(undoneUpstream, "ADDRESSES"), `"ADDRESSES"`, strings.Join(addresses[:], ", "), 1)
	out := "{name: out, match: {upstream: till}, timeout: %s}"
	h := hosttest.Start(t, manifest, hosttest.Options{Registry: deskPlant(t).reg, Files: map[string]string{
		policyFile: ruleFile(fmt.Sprintf(out, "30s")), "tokens.yaml": tokensFile("partner-token", ""),
	}})
	var s running
	s.run(t, h, stream{service: "Desk", method: "Mul"})
	awaitThat(t, "traffic", func() bool { return s.ok.Load() > 300 })
	for i := range rounds(20) {
		revision := applied(t, h, func() { h.Write(policyFile, ruleFile(fmt.Sprintf(out, fmt.Sprintf("%ds", 31+i)))) })
		for i, a := range addresses {
			peers[i].Stop()
			peers[i] = startTillAt(t, a)
			before := s.ok.Load()
			awaitThat(t, "calls after a restart", func() bool { return s.ok.Load() > before+50 })
		}
		steady(t, h, revision, fmt.Sprint("round ", i))
	}
	t.Logf("%d calls failed, %d did not", s.failed.Load(), s.ok.Load())
}

// silent returns the address of a peer that accepts connections and never answers.
func silent(t *testing.T) string {
	return wiretest.Meet(t, func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) })
}

// calmDesk is a handler that has its work done by an upstream, in several ways.
type calmDesk struct{ till registry.Client }

func (d *calmDesk) Mul(ctx context.Context, a *args, r *reply) error {
	return d.till.Call(ctx, "Mul", a, r)
}

// Calm hides failures from its callers.
func (d *calmDesk) Calm(ctx context.Context, a *args, r *reply) error {
	_ = d.Mul(ctx, a, r)
	return nil
}

// Long calls the upstream for longer than its callers wait.
func (d *calmDesk) Long(ctx context.Context, a *args, r *reply) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_ = d.Mul(ctx, a, r)
	return nil
}

// Timeouts and breakers that an edit does not change are evidence against it if it changes the upstream, and only then.
func TestCallsThatUnchangedRulesEndAreEvidenceAgainstAnEditOfTheUpstream(t *testing.T) {
	if testing.Short() {
		t.Skip("timeouts that end no calls until an edit, under load")
	}
	t.Parallel()
	out := func(what string) string { return "{name: out, match: {upstream: till}, " + what + "}" }
	in := func(what string) string { return "{name: in, match: {service: Desk}, " + what + "}" }
	const manifest = `
services:
  - {name: Desk, handler: test.calm, uses: {till: till}}
  - {name: Other, handler: test.calm, uses: {till: other}}
  - {name: Arith, handler: test.arith}
upstreams:
  - {name: till, service: Till, resolve: {endpoints: [%q]}}
  - {name: other, service: Till, resolve: {endpoints: [%q]}}
gateway: {routes: [{path: /v1/mul, methods: [POST], service: Desk, method: Long}]}
policies:
  files: [policies.d/*.yaml]
  watch: {debounce: 200ms, poll: 1s}
  autoRollback: {window: 1s}
`
	const hangs, dead, slow = 1, 2, 3
	for _, tt := range []struct {
		name   string
		rules  []string
		to     int      // the peer at the new address: silent, closed, or one whose calls hang; 0: another upstream is edited, and this one hangs
		more   []string // the rules after the edit; nil: they stay
		method string   // default: Calm
		path   string
		want   string
	}{
		{name: "a timeout", rules: []string{out("timeout: 500ms")}, to: hangs, want: " fail, "},
		{name: "an attempt's timeout", rules: []string{out("retry: {maxAttempts: 2, perTryTimeout: 400ms}")}, to: hangs, want: " fail, "},
		{name: "a timeout of the calls that need it", rules: []string{in("timeout: 500ms")}, to: hangs, method: "Long", want: " fail, "},
		{name: "a timeout of the calls over a route that need it", rules: []string{in("timeout: 500ms")}, to: hangs, method: "Long", path: "/v1/mul", want: " fail, "},
		{name: "a timeout, beside one that the edit changes", rules: []string{out("timeout: 500ms"), "{name: far, match: {upstream: other}, timeout: 1s}"}, to: hangs, more: []string{out("timeout: 500ms"), "{name: far, match: {upstream: other}, timeout: 2s}"}, want: " fail, "},
		{name: "a breaker", rules: []string{out("circuitBreaker: {consecutiveFailures: 5, openTimeout: 1h, scope: upstream}")}, to: dead, want: " fail, "},
		{name: "a breaker for each endpoint", rules: []string{out("circuitBreaker: {consecutiveFailures: 5, openTimeout: 1h}")}, to: dead, want: " fail, "},
		{name: "a breaker of the calls that need it", rules: []string{in("circuitBreaker: {consecutiveFailures: 5, openTimeout: 1h}")}, to: dead, method: "Mul", want: " fail, "},
		{name: "an ejection", rules: []string{out("outlierDetection: {consecutiveFailures: 2, baseEjectionTime: 1h, maxEjectionTime: 1h, maxEjectionPercent: 100}")}, to: dead, want: " fail, "},
		{name: "a timeout with autoRollback: off", rules: []string{out("autoRollback: off, timeout: 500ms")}, to: slow},
		{name: "a timeout, of another upstream than the edit's", rules: []string{out("timeout: 500ms")}},
		{name: "a breaker, of another upstream than the edit's", rules: []string{out("circuitBreaker: {consecutiveFailures: 5, openTimeout: 1h, scope: upstream}")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			far := new(moodyTill)
			reg := registry.New()
			registry.Plain(far, registry.In(reg), registry.As("test.till"))
			till := hosttest.Start(t, "services: [{name: Till, handler: test.till}]\n", hosttest.Options{Registry: reg})
			sleepy := new(moodyTill)
			sleepy.hangs.Store(true)
			registry.Plain(sleepy, registry.In(reg), registry.As("test.sleepy"))
			asleep := hosttest.Start(t, "services: [{name: Till, handler: test.sleepy}]\n", hosttest.Options{Registry: reg})
			other, _ := startTill(t, 0)
			before := fmt.Sprintf(manifest, till.Address, other.Address)
			p := newPlant(t)
			registry.Register("test.calm", struct{}{}, func(_ context.Context, _ struct{}, e registry.Env) (*registry.Service, error) {
				return registry.Receiver(&calmDesk{till: e.Client("till")}), nil
			}, registry.In(p.reg), registry.Uses("till"), registry.Methods[calmDesk]())
			h := hosttest.Start(t, untilUndone(before, tt.want != ""), hosttest.Options{Registry: p.reg, Files: map[string]string{policyFile: ruleFile(tt.rules...)}})
			var s running
			s.run(t, h, stream{service: "Desk", method: cmp.Or(tt.method, "Calm"), path: tt.path, n: 2}, stream{service: "Other", method: "Calm", n: 2})
			awaitThat(t, "traffic", func() bool { return s.ok.Load() > 500 })
			another, _ := startTill(t, 0)
			address := map[int]string{0: another.Address, hangs: silent(t), dead: wiretest.Address(t), slow: asleep.Address}[tt.to]
			old := till.Address
			if tt.to == 0 {
				old = other.Address
			}
			if tt.more != nil {
				h.Write(policyFile, ruleFile(tt.more...))
			}
			h.Write("easymicro.yaml", untilUndone(strings.Replace(before, old, address, 1), tt.want != ""))
			if r := h.Revision(); r.Result != host.ResultApplied || r.Number != 2 {
				t.Fatalf("r%d %s %v %s", r.Number, r.Result, r.Problems, r.Error)
			}
			far.hangs.Store(tt.to == 0)
			r := settled(t, h, 2)
			t.Log(r.Result, r.Verdict)
			if undone := r.Result == host.ResultRolledBack; undone != (tt.want != "") || !strings.Contains(r.Verdict, tt.want) {
				t.Errorf("r%d %s: %q, want %q", r.Number, r.Result, r.Verdict, tt.want)
			}
			if tt.want != "" {
				awaitThat(t, "closed breakers", func() bool {
					return !slices.ContainsFunc(status(t, h).Breakers, func(b policies.BreakerStats) bool { return b.State != "closed" })
				})
			}
			conn := h.Dial()
			awaitThat(t, "a call after the rollback", func() bool {
				return tt.want == "" || (&stream{service: "Desk", method: "Mul", within: 5 * time.Second}).call(t.Context(), h, conn) == nil
			})
		})
	}
}
