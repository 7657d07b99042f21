package policies

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
)

// Whatever is called, and wherever it is served: what is kept about it has a bound.
func TestNamesWithoutEndGrowNoStateOfAClient(t *testing.T) {
	const n = mostLate + mostLate/2
	guard, err := ClientGuard([]config.Rule{toBilling("calls", to("*"), timeout(time.Second), retry(quick(2)), hedge(time.Second, "*"),
		circuit(config.CircuitBreaker{ConsecutiveFailures: 3}), outlying(config.OutlierDetection{}))})
	if err != nil {
		t.Fatal(err)
	}
	address := ""
	call := &outCall{idempotent: true, attempt: func(_ context.Context, _ int, endpoints Endpoints) error {
		if endpoints.Admit(address) {
			endpoints.Settle(address, nil)
		}
		return nil
	}}
	for i := range n {
		// Each upstream has endpoints that come and go.
		call.upstream, call.service, call.method = fmt.Sprint("u", i), fmt.Sprint("S", i), fmt.Sprint("M", i)
		address = fmt.Sprintf("10.0.%d.%d:1", i/256, i%256)
		guard.Endpoints(call.upstream, call.service, []string{address})
		if _, err := guard.Do(t.Context(), call); err != nil {
			t.Fatal(err)
		}
		guard.Endpoints(call.upstream, call.service, nil)
	}
	s := guard.current.Load()
	l := s.byName["calls"].late
	breakers, outliers := 0, 0
	for _, of := range l.endpoints {
		breakers += len(of.all())
	}
	for _, of := range l.outliers {
		outliers += len(of.endpoints.all())
	}
	most := mostLate + 1
	if len(s.calling.all) > most || len(l.known) > most || len(l.endpoints) > most || len(l.outliers) > most || len(l.budgets) > most ||
		breakers > 2 || outliers > 2 || len(s.directory.lists) > 0 {
		t.Errorf("%d guards, %d targets, %d and %d upstreams with %d and %d endpoints, %d budgets, %d lists", len(s.calling.all), len(l.known),
			len(l.endpoints), len(l.outliers), breakers, outliers, len(l.budgets), len(s.directory.lists))
	}
}
