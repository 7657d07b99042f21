package policies

import (
	"fmt"
	"testing"

	"github.com/easymicro/easymicro/config"
)

func TestEndpointsOfAnUpstreamAreCountedOnce(t *testing.T) {
	d := newDirectory()
	for _, step := range []struct {
		service   string
		addresses []string
		want      int
	}{
		{"Billing", []string{"a", "b"}, 2},
		{"Refunds", []string{"b", "c"}, 3},
		{"Billing", []string{}, 2},
		{"Refunds", []string{"c", "c"}, 1},
		{"Refunds", nil, 0},
		{"Billing", nil, 0},
	} {
		d.set("billing", step.service, step.addresses)
		if n := d.count("billing"); n != step.want || d.count("orders") != 0 {
			t.Errorf("%s at %v: %d, want %d", step.service, step.addresses, n, step.want)
		}
	}
}

// While an upstream is down each of its calls fails, and each asks whether one more endpoint may be left out.
func TestAFailureWhenNoMoreMayBeEjectedCostsLittle(t *testing.T) {
	b := newBilling(t, toBilling("calls", outlying(config.OutlierDetection{ConsecutiveFailures: 1})))
	addresses := make([]string, 100)
	for i := range addresses {
		addresses[i] = fmt.Sprint("a:", i)
	}
	b.serve(addresses...)
	r := b.guard.current.Load().byName["calls"]
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
