package policies_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
)

// In shadow the limit learns from all calls, and refuses none.
func TestAnAdaptiveLimitInShadowLearnsAndRefusesNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("r", "Arith", adaptive(10, 30), mode(config.Shadow)))
		for range 100 {
			var held []*policies.Ticket
			for range 50 {
				ticket, err := c.enter(mul, policies.Call{})
				succeeds(t, err)
				held = append(held, ticket)
			}
			time.Sleep(20 * time.Millisecond)
			for _, ticket := range held {
				ticket.Done(nil)
			}
		}
		l := c.now.AdaptiveLimits()
		if len(l) != 1 || l[0].Limit != 30 || l[0].Mode != config.Shadow {
			t.Errorf("%+v", l)
		}
		if d := c.decisions("r", config.KindConcurrency); d.Reject != 0 || d.ShadowReject < 100*20 || d.ShadowReject > 100*40 {
			t.Errorf("%+v", d)
		}
	})
}

// The limit of the calls to an upstream follows from how long the upstream takes.
func TestAnAdaptiveLimitOfCallsToAnUpstreamFollowsTheirDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("limit", adaptive(5, 100)))
		var running atomic.Int64
		b.answer = func(context.Context, string, int) error {
			time.Sleep(10 * time.Millisecond * time.Duration(max(running.Add(1)/20, 1))) // twenty at a time do not wait for each other
			running.Add(-1)
			return nil
		}
		refused := 0
		ended := make(chan error)
		for range 500 {
			for range 100 {
				go func() { ended <- b.call(t.Context()) }()
			}
			for range 100 {
				if err := <-ended; err != nil {
					refused++
					if e := refusal(t, err); e.Rule != "limit@r1" || !strings.Contains(e.Message, "adaptive concurrency limit of ") {
						t.Fatal(e)
					}
				}
			}
		}
		limit := b.guard.Snapshot().AdaptiveLimits()
		if len(limit) != 1 || limit[0].Limit < 20 || limit[0].Limit > 90 || refused < 500*10 {
			t.Errorf("%+v, %d refused", limit, refused)
		}
	})
}
