package host_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

// stateOf is that of the only breaker.
func stateOf(t *testing.T, h *hosttest.Host) policies.BreakerStats {
	t.Helper()
	s, err := h.Admin.Status(t.Context())
	must(t, err)
	if len(s.Breakers) != 1 {
		t.Fatalf("breakers: %+v", s.Breakers)
	}
	return s.Breakers[0]
}

func TestSlowHandlersOpenABreakerThoughTheirCallersGiveUpFirst(t *testing.T) {
	t.Parallel()
	for name, slow := range map[string]string{"slow before the deadline": "100ms", "slow behind the deadline": "600ms"} {
		t.Run(name, func(t *testing.T) {
			p := newPlant(t)
			h := hosttest.Start(t, "services: [{name: Gate, handler: test.gate}]\npolicies: {rules: [{name: hot, match: {service: Gate, method: Ignore},"+
				" circuitBreaker: {slowCallDuration: "+slow+", slowCallRate: 50%, minRequests: 8}}]}\n", hosttest.Options{Registry: p.reg})
			t.Cleanup(p.gate.open)
			var calls sync.WaitGroup
			for range 16 {
				c := h.Dial()
				calls.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
					defer cancel()
					if err := hosttest.CallJSON(ctx, c, "Gate", "Ignore", args{}, new(reply)); code.Of(err) != code.DeadlineExceeded {
						t.Error(err)
					}
				})
			}
			calls.Wait()
			eventually(t, "the breaker opens", func() bool { return stateOf(t, h).State == "open" })
			if cause := stateOf(t, h).Cause; !strings.Contains(cause, " calls took "+slow+" or longer") {
				t.Error(cause)
			}
		})
	}
}

// The time of a call out may be short because a rule about the call that came in made it so.
func TestATimeoutOfTheCallThatCameInCountsAgainstTheUpstream(t *testing.T) {
	for name, incoming := range map[string]string{"ours": "  - {name: in, match: {service: Desk}, timeout: 100ms}\n", "the caller's": ""} {
		t.Run(name, func(t *testing.T) {
			far, _ := startTill(t, 0)
			h := startDesk(t, "rules:\n  - {name: out, match: {upstream: till}, timeout: 1m, circuitBreaker: {consecutiveFailures: 2, scope: upstream}}\n"+incoming, far)
			for range 2 {
				c := h.Dial()
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				if incoming == "" {
					ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
				}
				if err := hosttest.CallJSON(ctx, c, "Desk", "Wait", args{}, new(reply)); code.Of(err) != code.DeadlineExceeded {
					t.Error(err)
				}
				cancel()
			}
			if incoming != "" {
				eventually(t, "the breaker opens", func() bool { return stateOf(t, h).State == "open" })
				return
			}
			_, err := mul(t, h, 1, 1)
			must(t, err)
			if b := stateOf(t, h); b.State != "closed" {
				t.Errorf("%+v", b)
			}
		})
	}
}
