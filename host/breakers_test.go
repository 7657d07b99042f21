package host_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/registry"
)

// holdBreaker keeps a breaker in a state for an hour.
func holdBreaker(t *testing.T, h *hosttest.Host, name, state string) {
	t.Helper()
	put(t, h, admin.OverrideRequest{Action: admin.ActionBreaker, Breaker: name, State: state})
}

// An endpoint whose breaker is open is not called, and the others are; also one that was not called before.
func TestBreakersOfUpstreamsAreOpenedByName(t *testing.T) {
	tills := make([]*hosttest.Host, 2)
	for i := range tills {
		reg := registry.New()
		registry.Plain(new(moodyTill), registry.In(reg), registry.As("test.till"))
		tills[i] = hosttest.Start(t, "services: [{name: Till, handler: test.till}]\n", hosttest.Options{Registry: reg})
	}
	h := hosttest.Start(t, fmt.Sprintf(`
services: [{name: Desk, handler: test.desk, uses: {till: till}}]
upstreams: [{name: till, service: Till, connection: {connectTimeout: 20s}, resolve: {endpoints: [%q, %q]}}]
policies: {rules: [{name: out, match: {upstream: till}, circuitBreaker: {consecutiveFailures: 2}}]}
`, tills[0].Address, tills[1].Address), hosttest.Options{Registry: deskPlant(t).reg})
	c := h.Dial()
	called := func(n int) (failed []error) {
		for range n {
			if err := hosttest.CallJSON(t.Context(), c, "Desk", "Mul", args{A: 2, B: 3}, new(reply)); err != nil {
				failed = append(failed, err)
			}
		}
		return failed
	}
	if failed := called(8); failed != nil {
		t.Fatal(failed)
	}
	list, err := h.Admin.Breakers(t.Context(), "out")
	must(t, err)
	if len(list) != 2 || !slices.ContainsFunc(list, func(b admin.Breaker) bool {
		return strings.HasPrefix(b.Name, "out/") && strings.Contains(b.Name, tills[0].Address)
	}) {
		t.Fatalf("%+v", list)
	}
	holdBreaker(t, h, list[0].Name, admin.BreakerOpen)
	if failed := called(8); failed != nil {
		t.Errorf("the other endpoint: %v", failed)
	}
	now, err := h.Admin.Breakers(t.Context(), list[0].Name)
	must(t, err)
	if len(now) != 1 || now[0].State != "open" || now[0].Override == "" || now[0].Name != list[0].Name {
		t.Errorf("%+v", now)
	}
	holdBreaker(t, h, "out", admin.BreakerOpen)
	if failed := called(1); len(failed) == 0 || !strings.Contains(failed[0].Error(), "circuit breaker open for all endpoints of till (by an operator)") {
		t.Errorf("all endpoints: %v", failed)
	}
	for _, x := range status(t, h).Overrides {
		dropOverride(t, h, x.Name)
	}
	if failed := called(8); failed != nil {
		t.Error(failed)
	}
}

// Breakers opened by an operator do not count against an edit under observation, even if it changes them.
func TestABreakerThatIsOpenedDoesNotUndoAnEdit(t *testing.T) {
	breaker := func(failures int) string {
		return fmt.Sprintf("rules:\n  - {name: arith-mul, match: {service: Arith}, circuitBreaker: {consecutiveFailures: %d}}\n", failures)
	}
	h := edited(t, strings.Replace(guardedManifest, "window: 1s", "window: 1m", 1), map[string]string{policyFile: breaker(5)})
	f := startFlow(t, h, 1, "Mul")
	awaitThat(t, "traffic", func() bool { return f.ok.Load() > 500 })
	h.Write(policyFile, breaker(6))
	awaitThat(t, "the edit", func() bool { return status(t, h).Policies.Observed != nil })
	holdBreaker(t, h, "arith-mul/Arith.Mul", admin.BreakerOpen)
	awaitThat(t, "refusals", func() bool {
		o := status(t, h).Policies.Observed
		return o == nil || o.Intended > 300
	})
	if s := status(t, h).Policies; s.Observed == nil || s.Running.Revision != 3 {
		t.Errorf("%+v", s)
	}
}

func TestABreakerThatIsKeptOpenIsOpenAfterARestart(t *testing.T) {
	const withBreaker = "rules:\n  - {name: ax, match: {service: Arith}, circuitBreaker: {consecutiveFailures: 2}}\n"
	h, restart := startOverridable(t, overridable, map[string]string{"a/x.yaml": withBreaker})
	holdBreaker(t, h, "ax", admin.BreakerOpen)
	h = restart()
	list, err := h.Admin.Breakers(t.Context(), "ax")
	must(t, err)
	for _, b := range list {
		if b.State != "open" || time.Until(b.HeldUntil) < 50*time.Minute || b.Override != "breaker.ax" {
			t.Errorf("%+v", b)
		}
	}
	h.Write("a/x.yaml", rulesOf("ax"))
	awaitThat(t, "a warning", func() bool {
		return strings.Contains(status(t, h).Warnings.Error(), "the override breaker.ax has no effect: ax has no circuitBreaker")
	})
}

// Breakers that an operator opens or closes do not count against an edit by somebody else.
func TestBreakersKeptInAStateInTheWindowOfAnEditOfTheUpstreamDoNotUndoIt(t *testing.T) {
	t.Parallel()
	const out = "{name: out, match: {upstream: till}, timeout: %s, circuitBreaker: {consecutiveFailures: 5, openTimeout: 1h, scope: upstream}}"
	for state, open := range map[string]bool{admin.BreakerOpen: false, admin.BreakerClosed: true} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			far := new(moodyTill)
			reg := registry.New()
			registry.Plain(far, registry.In(reg), registry.As("test.till"))
			till := hosttest.Start(t, "services: [{name: Till, handler: test.till}]\n", hosttest.Options{Registry: reg})
			another, _ := startTill(t, 0)
			manifest := untilUndone(fmt.Sprintf(undoneUpstream, till.Address), true)
			h := hosttest.Start(t, manifest, hosttest.Options{Registry: deskPlant(t).reg, Files: map[string]string{
				policyFile: ruleFile(fmt.Sprintf(out, "20s")), "tokens.yaml": tokensFile("partner-token", ""),
			}})
			var s running
			s.run(t, h, stream{service: "Desk", method: "Mul"}, stream{method: "Mul", n: 1})
			awaitThat(t, "traffic", func() bool { return s.ok.Load() > 500 })
			if open {
				far.fails.Store(true)
				awaitThat(t, "an open breaker", func() bool {
					return slices.ContainsFunc(status(t, h).Breakers, func(b policies.BreakerStats) bool { return b.State == "open" })
				})
				began := time.Now() // failures that begin later than three seconds before an edit are taken for its own
				awaitThat(t, "failures before the edit", func() bool { return time.Since(began) > 4*time.Second })
				h.Write(policyFile, ruleFile(fmt.Sprintf(out, "19s")))
			} else {
				h.Write("easymicro.yaml", strings.Replace(manifest, till.Address, another.Address, 1))
			}
			awaitThat(t, "the edit", func() bool { return status(t, h).Policies.Observed != nil })
			holdBreaker(t, h, "out", state)
			failed := s.failed.Load()
			awaitThat(t, "calls that fail", func() bool { return s.failed.Load() > failed+500 })
			if s := status(t, h).Policies; s.Observed == nil || s.Running.Revision != 3 {
				t.Errorf("%+v", s)
			}
		})
	}
}
