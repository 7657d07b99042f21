package host_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config/lint"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
)

// overridden waits for the next revision that overrides have not made.
func overridden(t *testing.T, h *hosttest.Host) host.Attempt {
	t.Helper()
	r := h.Revision()
	for r.Source == admin.SourceOverride || r.Source == admin.SourceExpiry {
		r = h.Revision()
	}
	return r
}

// An edit that an override covers is observed once that ends.
func TestAnEditIsObservedWhenTheOverrideThatCoversItEnds(t *testing.T) {
	t.Parallel()
	const spare = "  - {name: spare, match: {service: Arith}, concurrency: {max: %s}}\n"
	drop := func(t *testing.T, h *hosttest.Host) { dropOverride(t, h, "arith-mul.rateLimit") }
	for _, tt := range []struct {
		name  string
		lasts time.Duration
		more  string // a second edit, of what is not covered
		force bool   // the files are applied by force
		stage bool   // another edit is not confirmed
		rate  int    // after the edit
		ends  func(*testing.T, *hosttest.Host)
		want  bool // it is undone
	}{
		{name: "dropped", lasts: time.Hour, rate: 1, ends: drop, want: true},
		{name: "expired", lasts: 12 * time.Second, rate: 1, ends: func(*testing.T, *hosttest.Host) {}, want: true},
		{name: "in the window of another edit", lasts: time.Hour, rate: 1, more: "2000", ends: drop, want: true},
		{name: "beside an edit that is not confirmed", lasts: time.Hour, rate: 1, stage: true, ends: drop, want: true},
		{name: "by force", lasts: time.Hour, rate: 1, force: true, ends: drop},
		{name: "the edit is good", lasts: time.Hour, rate: 9000, ends: drop},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			manifest := guardedManifest
			if tt.want {
				manifest = strings.Replace(manifest, "window: 1s", "window: 1m", 1)
			}
			h := edited(t, manifest, map[string]string{policyFile: rule(10000) + fmt.Sprintf(spare, "1000")})
			_, err := h.Admin.Override(t.Context(), admin.OverrideRequest{
				Action: admin.ActionOverride, Rule: "arith-mul", Field: "rateLimit", Value: "{rate: 5000, burst: 5000}", For: admin.Seconds(tt.lasts),
			})
			must(t, err)
			f := startFlow(t, h, 1, "Mul")
			awaitThat(t, "traffic", func() bool { return f.ok.Load() > 200 })
			h.Write(policyFile, rule(tt.rate)+fmt.Sprintf(spare, "1000"))
			if r := overridden(t, h); r.Result != host.ResultApplied || r.Number != 3 {
				t.Fatalf("r%d %s %v", r.Number, r.Result, r.Problems)
			}
			if o := status(t, h).Policies.Observed; o != nil {
				t.Fatalf("observed under the override: %+v", o)
			}
			revision := 4
			if tt.more != "" {
				h.Write(policyFile, rule(tt.rate)+fmt.Sprintf(spare, tt.more))
				if r := overridden(t, h); r.Result != host.ResultApplied || r.Number != 4 {
					t.Fatalf("r%d %s %v", r.Number, r.Result, r.Problems)
				}
				revision++
			}
			if tt.stage {
				text := rule(tt.rate) + fmt.Sprintf(spare, "3000")
				_, err := h.Admin.Apply(t.Context(), admin.ApplyRequest{Files: []admin.ApplyFile{{Path: policyFile, Text: text}}, RevertAfter: admin.Seconds(200 * time.Millisecond)})
				must(t, err)
				overridden(t, h)
				revision = overridden(t, h).Number + 1
			}
			if tt.force {
				_, err := h.Admin.Reload(t.Context(), true)
				must(t, err)
				revision = status(t, h).Policies.Running.Revision + 1
			}
			tt.ends(t, h)
			if tt.force {
				if s := status(t, h).Policies; s.Observed != nil || s.Running.Revision != revision {
					t.Errorf("%+v", s)
				}
				return
			}
			if !tt.want {
				r := settled(t, h, revision)
				if r.Result != host.ResultApplied || r.Verdict != admin.VerdictKept {
					t.Errorf("r%d %s: %q", r.Number, r.Result, r.Verdict)
				}
				return
			}
			r := overridden(t, h)
			if want := "r3 rolled back: arith-mul refused "; r.Source != host.SourceAutoRollback || !strings.HasPrefix(r.Why, want) ||
				!strings.Contains(r.Why, " that r2 let through") || !strings.HasPrefix(rateOf(t, h), "10000 ") {
				t.Errorf("by %s: %s, and the rate is %s", r.Source, r.Why, rateOf(t, h))
			}
			if s := status(t, h).Policies; s.InSync || !strings.Contains(s.Held, "rolled back: arith-mul") {
				t.Errorf("%+v", s)
			}
		})
	}
}

// What only an override has changed does not make the methods of its rule those of the edit.
func TestAnOverrideInTheWindowOfAnEditDoesNotUndoItForFailures(t *testing.T) {
	t.Parallel()
	till := new(moodyTill)
	p := newPlant(t)
	registry.Plain(till, registry.In(p.reg), registry.As("test.till"))
	arith := "{name: arith, match: {service: Arith}, rateLimit: {rate: %s}}"
	manifest := untilUndone(strings.Replace(guardedManifest, "services: [", "services: [{name: Till, handler: test.till}, ", 1), true)
	h := hosttest.Start(t, manifest, hosttest.Options{Registry: p.reg, Files: map[string]string{
		policyFile: ruleFile(fmt.Sprintf(arith, "1000"), "{name: till, match: {service: Till}, concurrency: {max: 1000}}"),
	}})
	var s running
	s.run(t, h, stream{service: "Till", method: "Mul"}, stream{method: "Mul", n: 1})
	awaitThat(t, "traffic", func() bool { return s.ok.Load() > 300 })
	h.Write(policyFile, ruleFile(fmt.Sprintf(arith, "2000"), "{name: till, match: {service: Till}, concurrency: {max: 1000}}"))
	awaitThat(t, "the edit", func() bool { return status(t, h).Policies.Observed != nil })
	put(t, h, admin.OverrideRequest{Action: admin.ActionOverride, Rule: "till", Field: "concurrency.max", Value: "900"})
	till.fails.Store(true)
	awaitThat(t, "calls that fail", func() bool { return s.failed.Load() > 500 })
	if s := status(t, h).Policies; s.Observed == nil || s.Running.Revision != 3 {
		t.Errorf("%+v", s)
	}
}

// Whether an edit lets more callers in is judged without overrides.
func TestAnOverrideMakesAnEditNeitherWiderNorTighter(t *testing.T) {
	t.Parallel()
	const only = "{name: only, match: {service: Arith}, access: {allow: [{caller: partner}]}}"
	for name, tt := range map[string]struct {
		put           admin.OverrideRequest
		before, after []string
		wider         bool
	}{
		"hidden": {
			put:    admin.OverrideRequest{Action: admin.ActionBlock, Method: "Arith.*", Caller: "*"},
			before: []string{only, "{name: spare, match: {service: Arith}, timeout: 1s}"}, after: []string{"{name: spare, match: {service: Arith}, timeout: 1s}"}, wider: true,
		},
		"hidden by a value": {
			put:    admin.OverrideRequest{Action: admin.ActionOverride, Rule: "only", Field: "access.allow", Value: "[{caller: batch}]"},
			before: []string{only}, after: []string{strings.Replace(only, "caller: partner", "caller: '*'", 1)}, wider: true,
		},
		"an override that the edit leaves without effect": {
			put:    admin.OverrideRequest{Action: admin.ActionOverride, Rule: "only", Field: "access.allow", Value: "[{caller: batch}]"},
			before: []string{only}, after: []string{strings.Replace(only, "name: only", "name: other, was: only", 1)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			manifest := strings.Replace(undoneManifest, "policies:", "policies:\n  widening: refuse", 1)
			h := edited(t, manifest, map[string]string{policyFile: ruleFile(tt.before...), "tokens.yaml": tokensFile("partner-token", "")})
			put(t, h, tt.put)
			h.Write(policyFile, ruleFile(tt.after...))
			r := overridden(t, h)
			if refused := r.Result == host.ResultRejected; refused != tt.wider || refused && !strings.Contains(r.Problems.Error(), "wider: ") {
				t.Errorf("%s %v", r.Result, r.Problems)
			}
		})
	}
}

func TestARollbackThatOverridesLeaveNothingToSaysSo(t *testing.T) {
	t.Parallel()
	h := edited(t, editedManifest, map[string]string{policyFile: rule(100)})
	put(t, h, admin.OverrideRequest{Action: admin.ActionOverride, Rule: "arith-mul", Field: "rateLimit.rate", Value: "50"})
	_, err := h.Admin.Rollback(t.Context(), admin.RollbackRequest{Revision: 1})
	const want = "nothing to roll back: r1 and the running r2 have the same files, and a rollback does not change overrides"
	if e := answer(t, err); e.Detail != want || !strings.HasPrefix(e.Help, "in force: arith-mul.rateLimit.rate sets rateLimit.rate of arith-mul to 50 until ") ||
		!strings.HasSuffix(e.Help, "Z, or until easymicro override drop arith-mul.rateLimit.rate") {
		t.Errorf("%v", e)
	}
	dropOverride(t, h, "arith-mul.rateLimit.rate")
	_, err = h.Admin.Rollback(t.Context(), admin.RollbackRequest{Revision: 2})
	if e := answer(t, err); !strings.HasPrefix(e.Detail, "nothing to roll back: ") || e.Help != "no override is in force" {
		t.Errorf("%v", e)
	}
	if list, err := h.Admin.Revisions(t.Context()); err != nil || len(list) != 3 {
		t.Errorf("%d revisions, %v", len(list), err)
	}
}

// A breaker that is open when an override ends was not opened by the edit that this covered.
func TestABreakerThatIsOpenWhenAnOverrideEndsDoesNotUndoTheCoveredEdit(t *testing.T) {
	t.Parallel()
	till := new(moodyTill)
	p := newPlant(t)
	registry.Plain(till, registry.In(p.reg), registry.As("test.till"))
	const rule = "{name: till, match: {service: Till}, timeout: %s, circuitBreaker: {consecutiveFailures: 5, openTimeout: 1h}}"
	manifest := strings.Replace(guardedManifest, "services: [", "services: [{name: Till, handler: test.till}, ", 1)
	h := hosttest.Start(t, strings.Replace(manifest, "window: 1s", "window: 1m", 1), hosttest.Options{Registry: p.reg, Files: map[string]string{
		policyFile: ruleFile(fmt.Sprintf(rule, "5s")),
	}})
	var s running
	s.run(t, h, stream{service: "Till", method: "Mul"}, stream{method: "Mul", n: 1})
	awaitThat(t, "traffic", func() bool { return s.ok.Load() > 300 })
	put(t, h, admin.OverrideRequest{Action: admin.ActionOverride, Rule: "till", Field: "timeout", Value: "4s"})
	h.Write(policyFile, ruleFile(fmt.Sprintf(rule, "6s")))
	if r := overridden(t, h); r.Result != host.ResultApplied || r.Number != 3 {
		t.Fatalf("r%d %s %v", r.Number, r.Result, r.Problems)
	}
	till.fails.Store(true)
	awaitThat(t, "an open breaker", func() bool { b := status(t, h).Breakers; return len(b) == 1 && b[0].State == "open" })
	dropOverride(t, h, "till.timeout")
	failed := s.failed.Load()
	awaitThat(t, "refused calls", func() bool { return s.failed.Load() > failed+500 })
	if s := status(t, h).Policies; s.Observed == nil || s.Running.Revision != 4 {
		t.Errorf("%+v", s)
	}
}

// A comment that ignores a warning is not idle because an override takes the warning away.
func TestAnOverrideDoesNotMakeAnIgnoreIdle(t *testing.T) {
	t.Parallel()
	rules := ruleFile(
		"{name: a, match: {service: Arith}, rateLimit: {rate: 10}}",
		"{name: b, match: {service: Arith}, rateLimit: {rate: 10}} # easymicro: ignore EM314 until 2190-01-01 because it is generated",
	)
	h := edited(t, editedManifest, map[string]string{policyFile: rules})
	if w := warningsOf(t, h); len(w) > 0 {
		t.Fatalf("warnings: %v", w)
	}
	put(t, h, admin.OverrideRequest{Action: admin.ActionOverride, Rule: "b", Field: "rateLimit.rate", Value: "5"})
	for _, w := range warningsOf(t, h) {
		if w.Code == lint.IdleIgnore {
			t.Errorf("with an override: %v", w)
		}
	}
}
