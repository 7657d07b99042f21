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
	s := guard.current.Load()
	l := s.byName["calls"].late
	sizes := func() string {
		breakers, outliers := 0, 0
		for _, of := range l.endpoints {
			breakers += len(of.all())
		}
		for _, of := range l.outliers {
			outliers += len(of.endpoints.all())
		}
		return fmt.Sprintf("%d guards, %d targets, %d and %d upstreams with %d and %d endpoints, %d budgets", len(s.calling.all), len(l.known),
			len(l.endpoints), len(l.outliers), breakers, outliers, len(l.budgets))
	}
	clients := &teller{guard: guard}
	for _, of := range []struct {
		name string
		end  []string // what is told of each in the end
		want string
	}{
		// Each has endpoints that come and go. Those beyond the bound share what is one more.
		{"they stay", []string{}, fmt.Sprintf("%d guards, %d targets, %[3]d and %[3]d upstreams with 0 and 0 endpoints, %[3]d budgets", mostLate, mostLate+1, mostLate+1)},
		{"they go", nil, fmt.Sprintf("0 guards, %d targets, 1 and 1 upstreams with 0 and 0 endpoints, 1 budgets", mostLate+1)},
	} {
		for i := range n {
			call.upstream, call.service, call.method = fmt.Sprint("u", i), fmt.Sprint("S", i), fmt.Sprint("M", i)
			address = fmt.Sprintf("10.0.%d.%d:1", i/256, i%256)
			clients.tell(call.upstream, call.service, []string{address})
			if _, err := guard.Do(t.Context(), call); err != nil {
				t.Fatal(err)
			}
			clients.tell(call.upstream, call.service, of.end)
		}
		if got := sizes(); got != of.want {
			t.Errorf("%s: %s, want %s", of.name, got, of.want)
		}
	}
	if n := len(s.directory.upstreams); n > 0 {
		t.Errorf("%d upstreams are known", n)
	}
}
