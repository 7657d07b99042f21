package limit_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/code"
)

var healthy = limit.NewHealth(func(*limit.Panic) {}, nil)

// failing returns a breaker that opens at the first failure, and a function that reports one.
func failing(t *testing.T) (b *limit.Breaker, fail func()) {
	b = limit.NewBreaker("b", &limit.BreakerSettings{
		Window: time.Minute, OpenTimeout: time.Second, HalfOpenRequests: 1, ConsecutiveFailures: 1, FailOn: limit.DefaultFailOn,
	}, func(limit.Event) {})
	return b, func() {
		var s limit.Admissions
		a, _, ok := b.Allow()
		if !ok {
			t.Fatal("refused")
		}
		s.Add(limit.Enforced, a, healthy)
		s.Settle(code.Errorf(code.Unavailable, "down"), false, false)
	}
}

func TestACallThatJoinsAClosedBreakerCounts(t *testing.T) {
	b, _ := failing(t)
	if !b.IsClosed() {
		t.Fatal("not closed")
	}
	a, counts := b.Join()
	if !counts {
		t.Fatal("does not count")
	}
	var s limit.Admissions
	s.Add(limit.Enforced, a, healthy)
	s.Settle(code.Errorf(code.Unavailable, "down"), false, false)
	if n := b.Stats(); n.State != limit.StateOpen || b.IsClosed() {
		t.Errorf("%+v", n)
	}
}

// A call that a closed breaker has admitted joins it once the breaker has opened, or waits for a probe.
func TestACallThatJoinsTooLateDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, fail := failing(t)
		fail()
		if _, counts := b.Join(); counts {
			t.Error("counts while open")
		}
		time.Sleep(2 * time.Second)
		if _, counts := b.Join(); counts {
			t.Error("counts as a probe")
		}
		a, _, ok := b.Allow()
		if !ok {
			t.Fatal("took the probe of another call")
		}
		var s limit.Admissions
		s.Add(limit.Enforced, a, healthy)
		s.Settle(nil, false, false)
		if n := b.Stats(); n.State != limit.StateClosed || !b.IsClosed() {
			t.Errorf("%+v", n)
		}
	})
}

func TestAHoldThatHasEndedByItselfDoesNotEndALaterOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, fail := failing(t)
		b.Hold(&limit.Hold{Open: true, Until: time.Now().Add(time.Minute)})
		time.Sleep(time.Minute)
		fail() // the probe
		b.Hold(nil)
		if left, open := b.IsOpen(); !open || left < 900*time.Millisecond {
			t.Errorf("after %v of open time the breaker lets calls through", left)
		}
	})
}
