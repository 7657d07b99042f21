package policies

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/code"
)

func TestEndpointsOfAnUpstreamAreCountedOnce(t *testing.T) {
	var d Directory
	billing, again, refunds := d.List("billing", "Billing"), d.List("billing", "Billing"), d.List("billing", "Refunds")
	for i, step := range []struct {
		listing   Listing
		addresses []string // nil: it is closed
		want      int
		of        string // Billing
	}{
		{billing, []string{"a", "b"}, 2, "[a b]"},
		{refunds, []string{"b", "c"}, 3, "[a b]"},
		{again, []string{"d", "b"}, 4, "[a b d]"}, // another client sees more
		{billing, []string{}, 3, "[b d]"},
		{refunds, []string{"c", "c"}, 3, "[b d]"},
		{again, nil, 1, "[]"},
		{again, []string{"x"}, 1, "[]"}, // it is closed
		{refunds, nil, 0, "[]"},
		{billing, nil, 0, "[]"},
		{billing, nil, 0, "[]"},
	} {
		if step.addresses != nil {
			step.listing.Set(step.addresses)
		} else {
			step.listing.Close()
		}
		if n, of := d.count("billing"), fmt.Sprint(d.of("billing", "Billing")); n != step.want || of != step.of || d.count("orders") != 0 {
			t.Errorf("step %d: %d and %s, want %d and %s", i, n, of, step.want, step.of)
		}
	}
	if len(d.upstreams) > 0 {
		t.Errorf("left: %v", d.upstreams)
	}
}

// What one client no longer needs to know does not take from the other.
func TestClientsThatCallAnUpstreamByOneNameHaveOneStateOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", scoped("")))
		b.serve("a:1")
		other := b.guard.List("billing", "Billing")
		other.Set([]string{"a:1", "b:1"})
		b.answer = always(errDown)
		b.fail(3)
		other.Close()
		other.Close()
		if err := b.call(t.Context()); reasonOf(err) != code.ReasonBreakerOpen {
			t.Errorf("after the other client has gone: %v", err)
		}
		again := b.guard.List("billing", "Billing") // an old listing that ends after a new one began
		again.Set([]string{"a:1"})
		b.tell("billing", "Billing", nil)
		if err := b.call(t.Context()); reasonOf(err) != code.ReasonBreakerOpen {
			t.Errorf("after it looks the service up anew: %v", err)
		}
		again.Close()
		if err := b.call(t.Context()); reasonOf(err) == code.ReasonBreakerOpen {
			t.Errorf("after all have gone: %v", err)
		}
	})
}

// While an upstream is down each of its calls fails, and each asks whether one more endpoint may be left out.
func TestAFailureWhenNoMoreMayBeEjectedCostsLittle(t *testing.T) {
	b := newBilling(t, toBilling("calls", outlying(config.OutlierDetection{ConsecutiveFailures: 1})))
	addresses := make([]string, 100)
	for i := range addresses {
		addresses[i] = fmt.Sprint("a:", i)
	}
	b.serve(addresses...)
	r := b.guard.Snapshot().byName["calls"]
	o := r.late.outliersOf("billing")
	for _, a := range addresses {
		o.report(o.endpoints.of(a), r.outlier, errDown)
	}
	last := o.endpoints.of(addresses[99])
	if last.until.Load() != 0 {
		t.Fatal("it is ejected")
	}
	if n := testing.AllocsPerRun(100, func() { o.report(last, r.outlier, errDown) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
