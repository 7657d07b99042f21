package host_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
)

// flow calls a method at a rate until it ends, and counts what becomes of the calls.
type flow struct {
	ok, refused atomic.Int64
	last        atomic.Value // error
	stop        context.CancelFunc
	calls       sync.WaitGroup
}

// startFlow begins about 1,000 calls a second for each connection, or fewer if they take so long that 200 are under way.
func startFlow(t *testing.T, h *hosttest.Host, connections int, method string) *flow {
	t.Helper()
	f := new(flow)
	ctx, stop := context.WithCancel(t.Context())
	f.stop = stop
	for range connections {
		conn := h.Dial()
		f.calls.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			underWay := make(chan struct{}, 200)
			for ctx.Err() == nil {
				for range 10 {
					underWay <- struct{}{}
					f.calls.Go(func() {
						defer func() { <-underWay }()
						err := hosttest.CallJSON(context.Background(), conn, "Arith", method, map[string]int{"a": 2, "b": 3}, new(reply))
						if err == nil {
							f.ok.Add(1)
							return
						}
						f.refused.Add(1)
						f.last.Store(err)
					})
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	t.Cleanup(f.end)
	return f
}

func (f *flow) end() {
	f.stop()
	f.calls.Wait()
}

// awaitThat polls for a condition.
func awaitThat(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(slack * time.Minute); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

const guardedManifest = `
services: [{name: Arith, handler: test.arith}]
policies:
  files: [policies.d/*.yaml]
  watch: {debounce: 20ms, poll: 200ms}
  autoRollback: {window: 1s}
`

func TestAnEditThatRefusesTheTrafficIsRolledBack(t *testing.T) {
	h := edited(t, untilUndone(guardedManifest, true), map[string]string{policyFile: rule(10000)})
	f := startFlow(t, h, 5, "Mul")
	awaitThat(t, "traffic", func() bool { return f.ok.Load() > 1000 })
	h.Write(policyFile, rule(1))
	if r := h.Revision(); r.Result != host.ResultApplied || r.Number != 2 {
		t.Fatalf("r%d %s %v", r.Number, r.Result, r.Problems)
	}
	r := h.Revision()
	if r.Number != 3 || r.Source != host.SourceAutoRollback || r.Result != host.ResultApplied {
		t.Fatalf("r%d %s by %s, want r3 by autoRollback", r.Number, r.Result, r.Source)
	}
	for _, want := range []string{"r2 rolled back: arith-mul refused ", " that r1 let through", "autoRollback: off in arith-mul (10.yaml:2)", "easymicro reload --force"} {
		if !strings.Contains(r.Why, want) && !strings.Contains(r.Why, strings.Replace(want, "(10", "(policies.d/10", 1)) {
			t.Errorf("%q\nlacks %q", r.Why, want)
		}
	}
	more := func() {
		before := f.ok.Load()
		awaitThat(t, "calls after the rollback", func() bool { return f.ok.Load() > before+1000 })
	}
	more() // the callers may be late to count what was refused
	refused := f.refused.Load()
	t.Logf("%s: %d calls were refused", r.Why, refused)
	if most := int64(50_000); refused == 0 || refused > most {
		t.Errorf("%d calls were refused, want at most %d", refused, most)
	}
	more()
	if got := f.refused.Load() - refused; got > 100 {
		t.Errorf("%d calls were refused after the rollback", got)
	}
	if got := rateOf(t, h); !strings.HasPrefix(got, "10000 ") {
		t.Errorf("rate %q", got)
	}
	// The files are held until they change.
	again, err := h.Host.Reload(t.Context(), host.SourceAdmin, "")
	if err != nil || again.Result != host.ResultHeld || !strings.Contains(again.Why, "r2 rolled back") {
		t.Errorf("reload: %s %q, %v", again.Result, again.Why, err)
	}
	if _, err := h.Admin.Reload(t.Context(), false); err == nil || !strings.Contains(err.Error(), "r3 keeps running: r2 rolled back") {
		t.Errorf("reload by the admin API: %v", err)
	}
	status, err := h.Admin.Status(t.Context())
	if err != nil || status.Policies.InSync || !strings.Contains(status.Policies.Held, "r2 rolled back") {
		t.Errorf("status %+v, %v", status.Policies, err)
	}
	revisions, err := h.Admin.Revisions(t.Context())
	must(t, err)
	if len(revisions) != 3 || revisions[1].Result != host.ResultRolledBack || !strings.Contains(revisions[1].Verdict, "refused") {
		t.Errorf("revisions %+v", revisions)
	}
	h.Write(policyFile, rule(20000))
	for {
		if r := h.Revision(); r.Result == host.ResultApplied {
			break
		}
	}
	if status, _ := h.Admin.Status(t.Context()); !status.Policies.InSync || status.Policies.Observed == nil {
		t.Errorf("status after the next edit: %+v", status.Policies)
	}
}

// untilUndone gives slow machines more time for an edit that is to be undone.
func untilUndone(manifest string, undone bool) string {
	if !undone {
		return manifest
	}
	return strings.Replace(manifest, "{window: 1s}", "{window: 1m}", 1)
}

func ruleFile(rules ...string) string { return "rules:\n  - " + strings.Join(rules, "\n  - ") + "\n" }

// Each edit but those that are meant to refuse is undone, and names what did it.
func TestWhichEditsAreRolledBack(t *testing.T) {
	const manifest = guardedManifest + `
auth: {identify: [token], tokens: {file: tokens.yaml}}
`
	sleeps := `{name: slow, match: {service: Arith}, timeout: %s}`
	for _, tt := range []struct {
		name, before, after string
		file, want          string // want: empty for one that stays
	}{
		{name: "rate", before: rule(10000), after: rule(1), want: "arith-mul refused"},
		{name: "rate in shadow", before: rule(10000), after: ruleFile("{name: arith-mul, match: {service: Arith}, mode: shadow, rateLimit: {rate: 1}}")},
		{name: "rate, with autoRollback: off", before: rule(10000), after: ruleFile("{name: arith-mul, match: {service: Arith}, autoRollback: off, rateLimit: {rate: 1}}")},
		{name: "limit for one named caller", before: rule(10000), after: ruleFile("{name: x, match: {service: Arith, caller: partner}, rateLimit: {rate: 1}}")},
		{name: "deny for one named caller", before: rule(10000), after: ruleFile("{name: x, match: {service: Arith}, access: {deny: [{caller: partner}]}}")},
		{name: "deny by glob", before: rule(10000), after: ruleFile("{name: x, match: {service: Arith}, access: {deny: [{caller: 'p*'}]}}"), want: "x refused"},
		{name: "allow others", before: rule(10000), after: ruleFile("{name: x, match: {service: Arith}, access: {allow: [{caller: batch}]}}"), want: "x refused"},
		{name: "timeout", before: ruleFile(fmt.Sprintf(sleeps, "30s")), after: ruleFile(fmt.Sprintf(sleeps, "1ms")), want: "slow timed out"},
		{name: "concurrency", before: ruleFile("{name: c, match: {service: Arith}, concurrency: {max: 1000}}"), after: ruleFile("{name: c, match: {service: Arith, method: Nap}, concurrency: {max: 1}}"), want: "c refused"},
		{name: "description", before: rule(10000), after: strings.Replace(rule(10000), "{name", "{description: new, name", 1)},
		{name: "methods", file: "easymicro.yaml", before: rule(10000), after: strings.Replace(untilUndone(manifest, true), "test.arith", "test.arith, methods: {expose: [Mul]}", 1), want: "services and routes turned away"},
		{name: "one method of two", before: rule(10000), after: ruleFile("{name: x, match: {service: Arith, method: Mul}, access: {allow: [{caller: batch}]}}"), want: "of Arith.Mul that r1 let through"},
		{name: "tokens", file: "tokens.yaml", before: rule(10000), after: "[]\n", want: "auth turned away"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := tt.file
			if file == "" {
				file = policyFile
			}
			reg := registry.New()
			registry.Plain(napping{}, registry.In(reg), registry.As("test.arith"))
			h := hosttest.Start(t, untilUndone(manifest, tt.want != ""), hosttest.Options{Registry: reg, Files: map[string]string{
				policyFile: tt.before, "tokens.yaml": tokensFile("partner-token", ""),
			}})
			ctx, stop := context.WithCancel(t.Context())
			var calls sync.WaitGroup
			defer calls.Wait()
			defer stop()
			var done atomic.Int64
			for range 3 {
				conn := h.Dial()
				calls.Go(func() {
					for ctx.Err() == nil {
						var batch sync.WaitGroup
						for i := range 10 {
							batch.Go(func() { _ = callAs(ctx, conn, "partner", []string{"Nap", "Mul"}[i/9]) })
						}
						batch.Wait()
						done.Add(10)
					}
				})
			}
			awaitThat(t, "traffic", func() bool { return done.Load() > 100 })
			h.Write(file, tt.after)
			if r := h.Revision(); r.Result != host.ResultApplied || r.Number != 2 {
				t.Fatalf("r%d %s %v %s", r.Number, r.Result, r.Problems, r.Error)
			}
			var verdict string
			awaitThat(t, "a verdict", func() bool {
				status, err := h.Admin.Status(t.Context())
				must(t, err)
				list, err := h.Admin.Revisions(t.Context())
				must(t, err)
				for _, r := range list {
					if r.Number == 2 {
						verdict = r.Verdict
					}
				}
				return verdict != "" || status.Policies.Observed == nil
			})
			switch {
			case tt.want == "" && strings.Contains(verdict, "refused"), tt.want != "" && !strings.Contains(verdict, tt.want):
				t.Errorf("verdict %q, want %q", verdict, tt.want)
			}
		})
	}
}

// napping is a service whose calls take a while.
type napping struct{}

func (napping) Mul(context.Context, *args, *reply) error { return nil }

func (napping) Nap(ctx context.Context, _ *args, _ *reply) error {
	select {
	case <-time.After(5 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// callAs calls a method with the token of a caller.
func callAs(ctx context.Context, c *wire.Conn, caller, method string) error {
	req := wire.Frame{Service: "Arith", Method: method, Codec: wire.JSON, Payload: []byte("{}")}
	req.Metadata.Set(wire.MetaAuth, caller+"-token")
	return c.Do(ctx, &req, new(wire.Frame))
}

func TestARouteThatGoesIsRolledBack(t *testing.T) {
	const routes = `
gateway: {routes: [{path: /v1/mul, methods: [POST], service: Arith, method: Mul}]}
`
	h := edited(t, untilUndone(guardedManifest, true)+routes, map[string]string{policyFile: rule(10000)})
	ctx, stop := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	defer calls.Wait()
	defer stop()
	var done atomic.Int64
	calls.Go(func() {
		for ctx.Err() == nil {
			_, _, _ = h.TryPost("/v1/mul", `{"a":2,"b":3}`)
			done.Add(1)
		}
	})
	awaitThat(t, "traffic", func() bool { return done.Load() > 100 })
	h.Write("easymicro.yaml", untilUndone(guardedManifest, true))
	if r := h.Revision(); r.Number != 2 || r.Result != host.ResultApplied {
		t.Fatalf("r%d %s %v", r.Number, r.Result, r.Problems)
	}
	if r := h.Revision(); r.Source != host.SourceAutoRollback || !strings.Contains(r.Why, "services and routes turned away") {
		t.Errorf("r%d by %s: %s", r.Number, r.Source, r.Why)
	}
	if res, body := h.Post("/v1/mul", `{"a":2,"b":3}`); res.StatusCode != 200 {
		t.Errorf("after the rollback: %s %s", res.Status, body)
	}
}

// An edit is rolled back for calls that fail only if it affects them.
func TestAnEditThatMakesCallsFailIsRolledBack(t *testing.T) {
	const manifest = `
services:
  - {name: Desk, handler: test.desk, uses: {till: till}}
  - {name: Arith, handler: test.arith}
upstreams: [{name: till, service: Till, connection: {connectTimeout: 20s}, resolve: {endpoints: ["%s"]}}]
policies:
  rules:
    - {name: other, description: one, match: {service: Arith}, rateLimit: {rate: 1000}}
    - {name: out, match: {upstream: till}, rateLimit: {rate: 100000}}
  watch: {debounce: 20ms, poll: 200ms}
  autoRollback: {window: 1s}
`
	dead := "127.0.0.1:1"
	for _, tt := range []struct {
		name, from, to string // from empty: the upstream's address
		want           bool
		because        string
	}{
		{name: "address", to: dead, want: true},
		{name: "limit of calls out", from: "upstream: till}, rateLimit: {rate: 100000", to: "upstream: till}, rateLimit: {rate: 1", want: true, because: "out refused "},
		{name: "description", from: "one", to: "two"},
		{name: "limit of another service", from: "Arith}, rateLimit: {rate: 1000", to: "Arith}, rateLimit: {rate: 900"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			till, _ := startTill(t, 1)
			way := cuttable(t, till.Address)
			if tt.from == "" {
				tt.from = way.address
			}
			h := hosttest.Start(t, untilUndone(fmt.Sprintf(manifest, way.address), tt.want), hosttest.Options{Registry: deskPlant(t).reg})
			conn := h.Dial()
			ctx, stop := context.WithCancel(t.Context())
			var calls sync.WaitGroup
			defer calls.Wait()
			defer stop()
			var ok, failed atomic.Int64
			for range 4 {
				calls.Go(func() {
					for ctx.Err() == nil {
						if err := hosttest.CallJSON(ctx, conn, "Desk", "Mul", args{2, 3}, new(reply)); err != nil {
							failed.Add(1)
						} else {
							ok.Add(1)
						}
					}
				})
			}
			awaitThat(t, "traffic", func() bool { return ok.Load() > 200 })
			h.Edit("easymicro.yaml", tt.from, tt.to)
			if r := h.Revision(); r.Result != host.ResultApplied || r.Number != 2 {
				t.Fatalf("r%d %s %v", r.Number, r.Result, r.Problems)
			}
			if tt.want {
				because := cmp.Or(tt.because, " fail, 0 % did before r2")
				if r := h.Revision(); r.Source != host.SourceAutoRollback || !strings.Contains(r.Why, because) {
					t.Errorf("r%d by %s: %s", r.Number, r.Source, r.Why)
				}
				before := ok.Load()
				awaitThat(t, "calls after the rollback", func() bool { return ok.Load() > before+100 })
				return
			}
			till.Stop()
			before := failed.Load()
			awaitThat(t, "the end of the window", func() bool {
				status, err := h.Admin.Status(t.Context())
				must(t, err)
				return failed.Load() > before+300 && status.Policies.Observed == nil
			})
			if list, _ := h.Admin.Revisions(t.Context()); list[0].Number != 2 || list[0].Result != host.ResultApplied {
				t.Errorf("revisions %+v", list)
			}
		})
	}
}

// restartable returns the folder of a manifest with host.state and a rule of 10,000 calls a second, and a function that starts a
// host on it. undone is as for untilUndone.
func restartable(t *testing.T, undone bool) (dir string, start func() *hosttest.Host) {
	t.Helper()
	dir = t.TempDir()
	writeFile(t, filepath.Join(dir, "easymicro.yaml"), "host: {state: {dir: "+t.TempDir()+"}}\n"+untilUndone(guardedManifest, undone))
	must(t, os.Mkdir(filepath.Join(dir, "policies.d"), 0o755))
	writeFile(t, filepath.Join(dir, policyFile), rule(10000))
	return dir, func() *hosttest.Host {
		return hosttest.StartFile(t, filepath.Join(dir, "easymicro.yaml"), hosttest.Options{Registry: newPlant(t).reg})
	}
}

// What was rolled back does not come back with a restart.
func TestARestartKeepsToARollback(t *testing.T) {
	dir, start := restartable(t, true)
	h := start()
	f := startFlow(t, h, 3, "Mul")
	awaitThat(t, "traffic", func() bool { return f.ok.Load() > 500 })
	writeFile(t, filepath.Join(dir, policyFile), rule(1))
	for h.Revision().Source != host.SourceAutoRollback { //nolint:revive // the edit comes first
	}
	f.end()
	h.Stop()

	h = start()
	if got := rateOf(t, h); !strings.HasPrefix(got, "10000 ") {
		t.Errorf("rate %q after the restart", got)
	}
	status, err := h.Admin.Status(t.Context())
	must(t, err)
	if p := status.Policies; p.InSync || !strings.Contains(p.Held, "r2 rolled back: arith-mul") || p.Running.Revision != 4 {
		t.Errorf("status %+v", p)
	}
	list, err := h.Admin.Revisions(t.Context())
	must(t, err)
	if len(list) != 4 || list[2].Result != host.ResultRolledBack || list[0].Result != host.ResultHeld || list[0].Pinned == "" || status.Policies.LastAttempt.Result != host.ResultHeld {
		t.Errorf("revisions %+v", list)
	}
	r, err := h.Host.Reload(t.Context(), host.SourceAdmin, "")
	if err != nil || r.Result != host.ResultHeld {
		t.Errorf("reload: %s, %v", r.Result, err)
	}
	writeFile(t, filepath.Join(dir, policyFile), rule(300))
	for {
		if r := h.Revision(); r.Result == host.ResultApplied {
			break
		}
	}
	if got := rateOf(t, h); !strings.HasPrefix(got, "300 ") {
		t.Errorf("rate %q after the next edit", got)
	}
	if status, _ := h.Admin.Status(t.Context()); !status.Policies.InSync {
		t.Errorf("status %+v", status.Policies)
	}
}

// A set that was put in place of the last good one while the host was down is judged like an edit.
func TestAStartWithAnotherSetThanTheLastGoodOneIsObserved(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(dir string)
		want string // what did harm; empty: it is kept
	}{
		"a limit": {func(dir string) { writeFile(t, filepath.Join(dir, policyFile), rule(1)) }, "arith-mul refused "},
		"an exposed list": {func(dir string) {
			replaceIn(t, filepath.Join(dir, "easymicro.yaml"), "test.arith", "test.arith, methods: {expose: [Div]}")
		}, "services and routes turned away "},
		"harmless": {func(dir string) { writeFile(t, filepath.Join(dir, policyFile), rule(9999)) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, start := restartable(t, tt.want != "")
			h := start()
			h.Stop()
			markGoodIn(t, stateDirOf(t, dir), 1)
			h = start()
			if status(t, h).Policies.Observed != nil {
				t.Error("a start with the last good set is observed")
			}
			h.Stop()
			tt.edit(dir)
			h = start()
			o := status(t, h).Policies.Observed
			if o == nil || o.Revision != 3 || o.Baseline != 1 {
				t.Fatalf("observed %+v, want r3 beside r1", o)
			}
			f := startFlow(t, h, 3, "Mul")
			if tt.want == "" {
				if r := settled(t, h, 3); r.Verdict != admin.VerdictKept {
					t.Errorf("r3 %s %q", r.Result, r.Verdict)
				}
				return
			}
			r := h.Revision()
			for ; r.Source != host.SourceAutoRollback; r = h.Revision() { //nolint:revive // the start comes first
			}
			if !strings.Contains(r.Why, "r3 rolled back: "+tt.want) || !strings.Contains(r.Why, " that r1 let through") || r.Pinned == "" {
				t.Errorf("%q, pinned to %q", r.Why, r.Pinned)
			}
			before := f.ok.Load()
			awaitThat(t, "calls after the rollback", func() bool { return f.ok.Load() > before+100 })
			f.end()
			h.Stop()
			h = start() // it does not come back
			list, err := h.Admin.Revisions(t.Context())
			must(t, err)
			if p := status(t, h).Policies; list[0].Result != host.ResultHeld || list[2].Result != host.ResultRolledBack || !strings.Contains(p.Held, "r3 rolled back: ") || p.Observed != nil {
				t.Errorf("%+v", p)
			}
		})
	}
}

// stateDirOf returns the host.state.dir of a restartable manifest.
func stateDirOf(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "easymicro.yaml"))
	must(t, err)
	_, rest, _ := strings.Cut(string(text), "dir: ")
	path, _, _ := strings.Cut(rest, "}")
	return path
}

func replaceIn(t *testing.T, path, from, to string) {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	writeFile(t, path, strings.Replace(string(text), from, to, 1))
}
