package policies_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

var thirty = config.OutlierDetection{
	ConsecutiveFailures: 3, Interval: config.Duration(10 * time.Second), BaseEjectionTime: config.Duration(30 * time.Second),
	MaxEjectionTime: config.Duration(70 * time.Second), MaxEjectionPercent: 50,
}

// fail makes calls until an endpoint has failed n times.
func (b *billing) fail(n int) {
	b.t.Helper()
	for range n {
		_ = b.call(b.t.Context())
	}
}

func TestAnEndpointThatFailsIsLeftOutForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", outlying(thirty)))
		b.answer = down(errDown, "a:1")
		b.fail(3)
		b.went()
		b.fail(2)
		if went := b.went(); went != "[b:1 b:1]" {
			t.Errorf("went to %s", went)
		}
		time.Sleep(30 * time.Second)
		if b.fail(1); b.went() != "[a:1]" {
			t.Error("it did not come back")
		}
		b.answer = down(errDown, "a:1")
		b.fail(1) // what was before the ejection does not count any more
		told := b.transitions()
		if len(told) != 2 || told[0].From != "healthy" || told[0].To != "ejected" || told[0].Target != "a:1" ||
			told[0].Kind != config.KindOutlierDetection || told[1].To != "healthy" ||
			told[0].Cause != "3 consecutive failures, the last: UNAVAILABLE: db down; for 30s" {
			t.Errorf("%+v", told)
		}
		if d := b.decisions("calls", config.KindOutlierDetection); d.Reject != 2 {
			t.Errorf("%+v", d)
		}
	})
}

func TestASuccessInBetweenKeepsAnEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", outlying(thirty)))
		for range 5 {
			b.answer = down(errDown, "a:1")
			b.fail(2)
			b.answer = always(nil)
			b.fail(1)
		}
		if told := b.transitions(); len(told) != 0 {
			t.Errorf("%+v", told)
		}
	})
}

func TestEjectionsGetLongerAndAreForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", outlying(thirty)))
		b.answer = down(errDown, "a:1")
		eject := func() time.Duration {
			t.Helper()
			b.fail(3)
			for _, s := range b.guard.Snapshot().Outliers() {
				if s.Target == "a:1" {
					if !s.Ejected {
						t.Fatalf("not ejected: %+v", s)
					}
					time.Sleep(s.EjectedFor)
					return s.EjectedFor
				}
			}
			t.Fatal("unknown")
			return 0
		}
		for i, want := range []time.Duration{30 * time.Second, time.Minute, 70 * time.Second, 70 * time.Second} {
			if d := eject(); d != want {
				t.Errorf("ejection %d is for %s, want %s", i+1, d, want)
			}
		}
		time.Sleep(35 * time.Second) // three times interval: 4 - 3 + 1
		if d := eject(); d != time.Minute {
			t.Errorf("after a good while it is ejected for %s, want 1m", d)
		}
		time.Sleep(time.Hour)
		if d := eject(); d != 30*time.Second {
			t.Errorf("after a long while it is ejected for %s, want 30s", d)
		}
	})
}

func TestAShareOfTheEndpointsStays(t *testing.T) {
	for _, test := range []struct {
		name      string
		endpoints string
		percent   int
		ejected   int
	}{
		{"half of four", "a b c d", 50, 2},
		{"half of three", "a b c", 50, 1},
		{"all of three but one", "a b c", 100, 2},
		{"a tenth of three", "a b c", 10, 0},
		{"the only one", "a", 100, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			o := thirty
			o.MaxEjectionPercent = test.percent
			b := newBilling(t, toBilling("calls", outlying(o)))
			b.serve(strings.Fields(test.endpoints)...)
			b.answer = always(errDown)
			b.fail(20)
			ejected := 0
			for _, s := range b.guard.Snapshot().Outliers() {
				if s.Ejected {
					ejected++
				}
			}
			if ejected != test.ejected {
				t.Errorf("%s: %d ejected, want %d", test.name, ejected, test.ejected)
			}
		})
	}
}

// The list may shrink to those that are ejected.
func TestWhenOnlyEjectedEndpointsAreLeftTheyAreUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", outlying(thirty)))
		b.answer = down(errDown, "a:1")
		b.fail(3)
		b.serve("a:1")
		b.answer = always(nil)
		b.went()
		if err := b.call(t.Context()); err != nil || b.went() != "[a:1]" {
			t.Errorf("%v", err)
		}
	})
}

// The client moves on from an endpoint that drains; what it cannot use then are those that the rules leave out.
func TestWhenAllOthersDrainTheEjectedEndpointIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", outlying(thirty)))
		b.serve("a:1", "b:1")
		b.answer = down(errDown, "a:1")
		b.fail(3)
		b.answer = down(code.Remote(code.Refuse(code.Unavailable, code.ReasonDraining, "draining", "", "far", 0)), "b:1")
		b.went()
		if err := b.call(t.Context()); err != nil || b.went() != "[b:1 a:1]" {
			t.Errorf("%v", err)
		}
	})
}

func TestATriedEndpointIsBetterThanAnEjectedOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", outlying(thirty), retry(quick(2))))
		b.serve("a:1", "b:1")
		b.answer = down(errDown, "a:1")
		b.fail(3)
		b.went()
		b.answer = always(errBusy)
		if b.fail(1); b.went() != "[b:1 b:1]" {
			t.Error("it went to the ejected one")
		}
	})
}

func TestOutlierDetectionInShadowOnlyCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", outlying(thirty), mode(config.Shadow)))
		b.answer = down(errDown, "a:1")
		b.fail(8)
		if went := b.went(); strings.Contains(went, "b:1") {
			t.Errorf("went to %s", went)
		}
		if d := b.decisions("calls", config.KindOutlierDetection); d.ShadowReject != 5 || d.Reject != 0 {
			t.Errorf("%+v", d)
		}
	})
}

func TestAnEditKeepsEjections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", outlying(thirty)))
		b.answer = down(errDown, "a:1")
		b.fail(3)
		o := thirty
		o.ConsecutiveFailures = 7
		if err := b.guard.Replace([]config.Rule{toBilling("new", was("calls"), outlying(o), timeout(time.Second))}); err != nil {
			t.Fatal(err)
		}
		b.went()
		if b.fail(1); b.went() != "[b:1]" {
			t.Error("an edit took the endpoint back")
		}
		if err := b.guard.Replace([]config.Rule{toBilling("new", timeout(time.Second))}); err != nil {
			t.Fatal(err)
		}
		if b.fail(1); b.went() != "[a:1]" {
			t.Error("without the rule it is left out still")
		}
	})
}

func TestRetriesAndHedgesInShadowSendNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", retry(quick(3)), hedge(hedgeDelay, "Get"), mode(config.Shadow)))
		b.answer = always(errLost)
		b.fail(1) // not idempotent: would not be sent again
		_ = b.call(t.Context(), idempotent)
		b.answer = slowThen(hedgeDelay, nil)
		b.went()
		_ = b.call(t.Context(), idempotent)
		if went := b.went(); went != "[a:1]" {
			t.Errorf("went to %s", went)
		}
		if d := b.decisions("calls", config.KindRetry); d != (policies.Decisions{ShadowReject: 1}) {
			t.Errorf("retry %+v", d)
		}
		if d := b.decisions("calls", config.KindHedge); d != (policies.Decisions{ShadowReject: 1}) {
			t.Errorf("hedge %+v", d)
		}
	})
}
