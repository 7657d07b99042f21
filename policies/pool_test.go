package policies

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/code"
)

// What one client no longer needs to know does not take from the other.
func TestClientsThatCallAnUpstreamByOneNameHaveOneStateOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", scoped("")))
		b.serve("a:1")
		other := lookUp(b.guard.Pool(), "billing", "Billing")
		other.set("a:1", "b:1")
		b.answer = always(errDown)
		b.fail(3)
		other.Close()
		other.Close()
		if err := b.call(t.Context()); reasonOf(err) != code.ReasonBreakerOpen {
			t.Errorf("after the other client has gone: %v", err)
		}
		again := lookUp(b.guard.Pool(), "billing", "Billing") // an old listing that ends after a new one began
		again.set("a:1")
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
