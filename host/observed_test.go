package host_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
)

// callWithin is callAs with a deadline of the caller.
func callWithin(ctx context.Context, c *wire.Conn, d string) error {
	req := wire.Frame{Service: "Arith", Method: "Nap", Codec: wire.JSON, Payload: []byte("{}")}
	req.Metadata.Set(wire.MetaAuth, "partner-token")
	if d != "" {
		req.Metadata.Set(wire.MetaTimeout, d)
	}
	return c.Do(ctx, &req, new(wire.Frame))
}

func TestWhichEditsOfTimeoutsAndBreakersAreRolledBack(t *testing.T) {
	const manifest = guardedManifest + `
auth: {identify: [token], tokens: {file: tokens.yaml}}
`
	const div = "{name: other, match: {service: Arith, method: Mul}, rateLimit: {rate: 10000}}"
	const to = "{name: t, match: {service: Arith}, timeout: 40ms}"
	const br = "{name: br, match: {service: Arith}, circuitBreaker: {consecutiveFailures: 5, openTimeout: 60s}}"
	for _, tt := range []struct {
		name, before, after, within string
		want                        string // empty: not rolled back
		or                          string // evidence that a busy machine may find first
		parallel                    int
	}{
		{name: "deny for one named caller and method", before: ruleFile(div), after: ruleFile(div, "{name: x, match: {service: Arith}, access: {deny: [{caller: partner, methods: [Nap]}]}}")},
		{name: "queue beyond the caller's deadline", within: "40", before: ruleFile("{name: c, match: {service: Arith}, concurrency: {max: 1000}}"), after: ruleFile("{name: c, match: {service: Arith}, concurrency: {max: 1, queue: 1000, queueTimeout: 10s}}"), want: "c ", or: "calls of Arith.Nap fail"},
		{name: "queue beyond an unchanged timeout", before: ruleFile(to, "{name: c, match: {service: Arith}, concurrency: {max: 1000}}"), after: ruleFile(to, "{name: c, match: {service: Arith}, concurrency: {max: 1, queue: 1000, queueTimeout: 10s}}"), want: "c "},
		{name: "timeout under an unchanged breaker", before: ruleFile("{name: s, match: {service: Arith}, timeout: 30s}", br), after: ruleFile("{name: s, match: {service: Arith}, timeout: 3ms}", br), parallel: 4, want: "br refused", or: "s timed out"},
		{
			name: "timeout and breaker, renamed", before: ruleFile("{name: a, match: {service: Arith}, timeout: 30s, circuitBreaker: {consecutiveFailures: 5, openTimeout: 60s}}"),
			after: ruleFile("{name: b, match: {service: Arith}, timeout: 1ms, circuitBreaker: {consecutiveFailures: 5, openTimeout: 60s}}"), want: "b ",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			reg := registry.New()
			registry.Plain(napping{}, registry.In(reg), registry.As("test.arith"))
			h := hosttest.Start(t, untilUndone(manifest, tt.want != ""), hosttest.Options{Registry: reg, Files: map[string]string{
				policyFile: tt.before, "tokens.yaml": tokensFile("partner-token", ""),
			}})
			ctx, stop := context.WithCancel(t.Context())
			var calls sync.WaitGroup
			defer calls.Wait()
			defer stop()
			var done, failed atomic.Int64
			conn := h.Dial()
			for range max(tt.parallel, 4*10-40*min(tt.parallel, 1)) {
				calls.Go(func() {
					for ctx.Err() == nil {
						if callWithin(ctx, conn, tt.within) != nil {
							failed.Add(1)
						}
						done.Add(1)
					}
				})
			}
			awaitThat(t, "traffic", func() bool { return done.Load() > 400 })
			f, n := failed.Load(), done.Load()
			h.Write(policyFile, tt.after)
			if r := h.Revision(); r.Result != host.ResultApplied || r.Number != 2 {
				t.Fatalf("r%d %s %v %s", r.Number, r.Result, r.Problems, r.Error)
			}
			var verdict string
			awaitThat(t, "a verdict", func() bool {
				list, err := h.Admin.Revisions(t.Context())
				must(t, err)
				for _, r := range list {
					if r.Number == 2 {
						verdict = r.Verdict
					}
				}
				return verdict != ""
			})
			said := verdict
			t.Logf("before: %d of %d failed, after: %d of %d; %s", f, n, failed.Load()-f, done.Load()-n, said)
			bad := strings.Contains(verdict, "refused") || strings.Contains(verdict, "timed out")
			if tt.or != "" && strings.Contains(verdict, tt.or) {
				return
			}
			if bad != (tt.want != "") || !strings.Contains(verdict, tt.want) {
				t.Errorf("verdict %q, want %q", verdict, tt.want)
			}
		})
	}
}

func TestNeutralEditOpensNoWindow(t *testing.T) {
	h := edited(t, guardedManifest, map[string]string{policyFile: rule(10000)})
	h.Write(policyFile, strings.Replace(rule(10000), "{name", "{description: new, name", 1))
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Fatal(r.Result)
	}
	if s := status(t, h); s.Policies.Observed != nil {
		t.Errorf("observed: %+v", s.Policies.Observed)
	}
}

// Two bad edits in a row, few calls between them.
func TestAChainOfBadEditsIsRolledBack(t *testing.T) {
	h := edited(t, untilUndone(guardedManifest, true), map[string]string{policyFile: rule(10000)})
	h.Write(policyFile, rule(1))
	h.Revision()
	h.Write(policyFile, rule(2))
	h.Revision()
	f := startFlow(t, h, 1, "Mul")
	defer f.end()
	if r := h.Revision(); r.Source != host.SourceAutoRollback {
		t.Errorf("%s", r.Source)
	}
}

func revisionsOf(h *hosttest.Host) <-chan host.Attempt {
	c := make(chan host.Attempt, 1)
	go func() { c <- h.Revision() }()
	return c
}

// Files that go back to what was rolled back before the restart are told from what runs.
func TestHeldFilesComeBackAfterARestart(t *testing.T) {
	t.Parallel()
	dir, start := restartable(t, true)
	h := start()
	bad := func(n int) {
		f := startFlow(t, h, 3, "Mul")
		awaitThat(t, "traffic", func() bool { return f.ok.Load() > 500 })
		writeFile(t, filepath.Join(dir, policyFile), rule(n))
		for h.Revision().Source != host.SourceAutoRollback { //nolint:revive // the edit comes first
		}
		f.end()
	}
	bad(1)
	h.Stop()
	h = start()
	bad(2)
	p := status(t, h).Policies
	t.Logf("after the second rollback: in sync %t, held %q, desired %s, running %s", p.InSync, p.Held, p.Desired.Hash, p.Running.Hash)
	writeFile(t, filepath.Join(dir, policyFile), rule(1))
	r, err := h.Host.Reload(t.Context(), host.SourceAdmin, "")
	must(t, err)
	p = status(t, h).Policies
	if got := rateOf(t, h); p.InSync && strings.HasPrefix(got, "10000 ") {
		t.Errorf("reload: %s; in sync %t, held %q, with rate %s, while the files have rate 1", r.Result, p.InSync, p.Held, got)
	}
}

// The files never changed: once the set of Apply is undone, they run.
func TestARollbackOfApplyIsInSync(t *testing.T) {
	h := edited(t, untilUndone(guardedManifest, true), map[string]string{policyFile: rule(10000)})
	f := startFlow(t, h, 2, "Mul")
	awaitThat(t, "traffic", func() bool { return f.ok.Load() > 500 })
	next := *h.Set()
	next.Hash, next.Rules = "other", append([]config.Rule(nil), next.Rules...)
	limit := *next.Rules[0].RateLimit
	limit.Rate, limit.Burst = 1, 1
	next.Rules[0].RateLimit = &limit
	if _, err := h.Host.Apply(t.Context(), &next); err != nil {
		t.Fatal(err)
	}
	for h.Revision().Source != host.SourceAutoRollback { //nolint:revive // the edit comes first
	}
	if p := status(t, h).Policies; !p.InSync || p.Held != "" {
		t.Errorf("in sync %t, held %q, desired %s, running %s", p.InSync, p.Held, p.Desired.Hash, p.Running.Hash)
	}
}

// A shorter timeout of a gateway ends calls that another host serves.
func TestATimeoutOfForwardedCallsIsRolledBack(t *testing.T) {
	t.Parallel()
	y := newYard()
	p := newPlant(t)
	slow := registry.New()
	registry.Plain(sleepy{}, registry.In(slow), registry.As("test.slow"))
	_ = p
	far := hosttest.Start(t, "host: {name: far}\nservices: [{name: Slow, handler: test.slow}]\n", hosttest.Options{Registry: slow})
	y.put("Slow", far.Address)
	dir := map[string]string{policyFile: ruleFile("{name: s, match: {service: Slow}, timeout: 30s}")}
	gw := standalone(t, y, toAll+"policies: {files: [policies.d/*.yaml], watch: {debounce: 20ms, poll: 200ms}, autoRollback: {window: 1m}}\n", hosttest.Options{Files: dir})
	call := func(conn *wire.Conn) error {
		req := wire.Frame{Service: "Slow", Method: "Nap", Codec: wire.JSON, Payload: []byte("{}")}
		return conn.Do(t.Context(), &req, new(wire.Frame))
	}
	conn := gw.Dial()
	must(t, call(conn))
	gw.Write(policyFile, ruleFile("{name: s, match: {service: Slow}, timeout: 20ms}"))
	if r := gw.Revision(); r.Result != host.ResultApplied {
		t.Fatal(r.Result, r.Problems)
	}
	var ended atomic.Int64
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			for range 20 {
				if err := call(conn); err != nil && strings.Contains(err.Error(), "timed out after 20ms") {
					ended.Add(1)
				}
			}
		})
	}
	calls.Wait()
	awaitThat(t, fmt.Sprintf("a rollback for %d of 400 calls that timed out", ended.Load()), func() bool { return newest(t, gw).Source == host.SourceAutoRollback })
}

// newest returns the newest revision.
func newest(t *testing.T, h *hosttest.Host) host.Attempt {
	t.Helper()
	list, err := h.Admin.Revisions(t.Context())
	must(t, err)
	return list[0]
}

type sleepy struct{}

func (sleepy) Nap(ctx context.Context, _ *args, _ *reply) error {
	select {
	case <-time.After(200 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// After a rollback, calls pass that passed before the edit.
func TestARollbackBringsTheTokensBack(t *testing.T) {
	t.Parallel()
	h := edited(t, untilUndone(guardedManifest, true), map[string]string{policyFile: ruleFile("{name: arith-mul, match: {service: Arith}, rateLimit: {rate: 1, burst: 1000000}}")})
	f := startFlow(t, h, 2, "Mul")
	awaitThat(t, "traffic", func() bool { return f.ok.Load() > 500 })
	h.Write(policyFile, rule(1))
	for h.Revision().Source != host.SourceAutoRollback { //nolint:revive // the edit comes first
	}
	ok, refused := f.ok.Load(), f.refused.Load()
	awaitThat(t, "calls after the rollback", func() bool { return f.ok.Load()+f.refused.Load() > ok+refused+2000 })
	if n := f.refused.Load() - refused; n > 200 {
		t.Errorf("%d of %d calls after the rollback were refused; %s", n, f.ok.Load()+f.refused.Load()-ok-refused, status(t, h).Limiters[0].Rule)
	}
}

// One-way, HTTP and rpcx calls, handlers that exit, deadlines, tokens that change: for the race detector.
func TestEditsUnderAStormOfAllKindsOfCalls(t *testing.T) {
	const manifest = `
services: [{name: Arith, handler: test.arith}, {name: Crash, handler: test.crash}]
gateway: {routes: [{path: /v1/mul, methods: [POST], service: Arith, method: Mul}]}
auth: {identify: [token], tokens: {file: tokens.yaml}}
policies:
  files: [policies.d/*.yaml]
  watch: {debounce: 10ms, poll: 200ms}
  autoRollback: {window: 1s, minRequests: 1000}
`
	h := hosttest.Start(t, manifest, hosttest.Options{Registry: newPlant(t).reg, Log: new(logBuffer), Files: map[string]string{
		policyFile: rule(10000), "tokens.yaml": tokensFile("partner-token", ""),
	}})
	ctx, stop := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	conn := h.Dial()
	for i := range 8 {
		calls.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				req := wire.Frame{Service: "Arith", Method: "Mul", Codec: wire.JSON, Payload: []byte("{}")}
				switch (n + i) % 7 {
				case 1:
					req.OneWay = true
				case 2:
					req.Service, req.Method = "Crash", "Goexit"
				case 3:
					req.Service, req.Method = "Crash", "Nap"
					req.Metadata.Set(wire.MetaTimeout, "3")
				case 4:
					req.Metadata.Set(wire.MetaAuth, "partner-token")
				case 5:
					_, _, _ = h.TryPost("/v1/mul", `{"a":2,"b":3}`)
					continue
				case 6:
					req.Service = "Nothing"
				}
				_ = conn.Do(ctx, &req, new(wire.Frame))
			}
		})
	}
	edits := []string{
		"rules:\n  - {name: arith-mul, match: {service: '*'}, rateLimit: {rate: 100, key: [caller]}}\n",
		"rules:\n  - {name: arith-mul, match: {service: '*'}, timeout: 2ms, concurrency: {max: 5, queue: 5}, circuitBreaker: {consecutiveFailures: 5}}\n",
		"rules:\n  - {name: new, was: arith-mul, match: {service: Crash}, timeout: 1ms}\n  - {name: a, match: {service: Arith}, access: {allow: [{caller: partner}]}}\n",
		rule(10000),
	}
	for i := range 24 {
		h.Write(policyFile, edits[i%len(edits)])
		if i%5 == 0 {
			h.Write("tokens.yaml", tokensFile([]string{"other-token", "partner-token"}[i/5%2], ""))
		}
		time.Sleep(100 * time.Millisecond)
	}
	stop()
	calls.Wait()
}

// Without its retries, the calls to an upstream may fail: that edit is observed as well.
func TestARemovedClientSideRuleIsObserved(t *testing.T) {
	till, _ := startTill(t, 1)
	const manifest = `
services: [{name: Desk, handler: test.desk, uses: {till: till}}]
upstreams: [{name: till, service: Till, connection: {connectTimeout: 20s}, resolve: {endpoints: ["%s"]}}]
policies: {files: [policies.d/*.yaml], watch: {debounce: 20ms, poll: 200ms}, autoRollback: {window: 30s}}
`
	const again = "{name: again, match: {upstream: till}, retry: {maxAttempts: 3}}"
	const other = "{name: z, match: {upstream: till}, timeout: 5s}"
	for _, after := range []string{ruleFile(strings.Replace(again, "3", "2", 1), other), ruleFile(other)} {
		h := hosttest.Start(t, strings.Replace(manifest, "%s", till.Address, 1), hosttest.Options{Registry: deskPlant(t).reg, Files: map[string]string{policyFile: ruleFile(again, other)}})
		h.Write(policyFile, after)
		if r := h.Revision(); r.Result != host.ResultApplied {
			t.Fatal(r.Result, r.Problems)
		}
		if status(t, h).Policies.Observed == nil {
			t.Errorf("not observed: %s", after)
		}
	}
}

// A rollback that could not be made is tried again.
func TestARollbackIsTriedAgain(t *testing.T) {
	reg := registry.New()
	var fails atomic.Bool
	registry.Register("test.flaky", tunedOptions{Value: 1}, func(context.Context, tunedOptions, registry.Env) (*registry.Service, error) {
		return registry.Receiver(arith{}).OnOptions(func(_ context.Context, o tunedOptions) error {
			if o.Value == 1 && fails.Load() {
				return errors.New("not now")
			}
			return nil
		}), nil
	}, registry.In(reg), registry.Methods[arith]())
	const manifest = `
services: [{name: Arith, handler: test.flaky, options: {value: 1}}]
policies:
  rules: [{name: arith-mul, match: {service: Arith}, rateLimit: {rate: 10000}}]
  watch: {debounce: 20ms, poll: 200ms}
  autoRollback: {window: 1m}
`
	h := hosttest.Start(t, manifest, hosttest.Options{Registry: reg})
	f := startFlow(t, h, 2, "Mul")
	awaitThat(t, "traffic", func() bool { return f.ok.Load() > 500 })
	fails.Store(true)
	h.Write("easymicro.yaml", strings.NewReplacer("value: 1", "value: 2", "rate: 10000", "rate: 1").Replace(manifest))
	h.Revision()
	r := h.Revision()
	t.Logf("%s %s %s %v", r.Source, r.Result, r.Error, r.Problems)
	fails.Store(false)
	select {
	case <-time.After(patience):
		list, _ := h.Admin.Revisions(t.Context())
		p := status(t, h).Policies
		t.Errorf("still r%d, %d calls refused; in sync %t; r2 %q", p.Running.Revision, f.refused.Load(), p.InSync, list[len(list)-2].Verdict)
	case r := <-revisionsOf(h):
		t.Logf("%s %s", r.Source, r.Result)
	}
}

// A reload that comes while a rollback is made does not apply the files that it undoes.
func TestAReloadDuringARollbackIsHeld(t *testing.T) {
	t.Parallel()
	h := edited(t, untilUndone(guardedManifest, true), map[string]string{policyFile: rule(10000)})
	came := make(chan host.Attempt, 1)
	host.OnCommit(h.Host, func(revision int) {
		if revision != 3 {
			return
		}
		go func() {
			r, err := h.Host.Reload(context.Background(), host.SourceSignal, "")
			if err != nil {
				t.Error(err)
			}
			came <- r
		}()
		time.Sleep(300 * time.Millisecond) // listeners that are slow to commit
	})
	f := startFlow(t, h, 2, "Mul")
	awaitThat(t, "traffic", func() bool { return f.ok.Load() > 500 })
	h.Write(policyFile, rule(1))
	r := receive(t, came, "no reload")
	if r.Result != host.ResultHeld {
		t.Errorf("r%d %s by %s, want held", r.Number, r.Result, r.Source)
	}
}

// Enough calls of one method of another host are refused.
func TestOneMethodOfAnotherHost(t *testing.T) {
	t.Parallel()
	y := newYard()
	slow := registry.New()
	registry.Plain(napping{}, registry.In(slow), registry.As("test.arith"))
	far := hosttest.Start(t, "host: {name: far}\nservices: [{name: Arith, handler: test.arith}]\n", hosttest.Options{Registry: slow})
	y.put("Arith", far.Address)
	gw := standalone(t, y, toAll+"policies: {files: [policies.d/*.yaml], watch: {debounce: 20ms, poll: 200ms}, autoRollback: {window: 30s}}\n", hosttest.Options{Files: map[string]string{
		policyFile: ruleFile("{name: s, match: {service: Arith}, timeout: 8s}"),
	}})
	gw.Write(policyFile, ruleFile("{name: s, match: {service: Arith, method: Nap}, access: {allow: [{caller: batch}]}}"))
	gw.Revision()
	conn := gw.Dial()
	refused := 0
	for i := range 1000 {
		if callAs(t.Context(), conn, "x", []string{"Nap", "Mul", "Mul", "Mul", "Mul"}[i%5]) != nil {
			refused++
		}
	}
	awaitThat(t, fmt.Sprintf("a rollback for %d of 200 calls of Arith.Nap that were refused", refused), func() bool { return newest(t, gw).Source == host.SourceAutoRollback })
}

// Under a limit that refuses most calls anyway, edits that refuse no more are not undone.
func TestASaturatedLimitIsNoEvidence(t *testing.T) {
	const manifest = guardedManifest + `
auth: {identify: [token], tokens: {file: tokens.yaml}}
`
	limit := func(n string) string {
		return "rules:\n  - {name: arith-mul, match: {service: Arith}, rateLimit: {rate: " + n + ", burst: 20}}\n"
	}
	for _, tt := range []struct{ name, file, text string }{
		{"a higher rate", policyFile, limit("150")},
		{"one more token", "tokens.yaml", tokensFile("partner-token", "") + tokensFile("other-token", "")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := edited(t, manifest, map[string]string{policyFile: limit("100"), "tokens.yaml": tokensFile("partner-token", "")})
			ctx, stop := context.WithCancel(t.Context())
			var calls sync.WaitGroup
			defer calls.Wait()
			defer stop()
			var refused atomic.Int64
			for range 2 {
				conn := h.Dial()
				calls.Go(func() {
					for ctx.Err() == nil {
						if callAs(ctx, conn, "partner", "Mul") != nil {
							refused.Add(1)
						}
					}
				})
			}
			awaitThat(t, "traffic", func() bool { return refused.Load() > 2000 })
			h.Write(tt.file, tt.text)
			if r := h.Revision(); r.Result != host.ResultApplied {
				t.Fatal(r.Result, r.Problems, r.Error)
			}
			awaitThat(t, "a verdict", func() bool { return status(t, h).Policies.Observed == nil })
			list, err := h.Admin.Revisions(t.Context())
			must(t, err)
			if list[0].Source == host.SourceAutoRollback {
				t.Errorf("%s", list[0].Why)
			}
		})
	}
}
