package policies_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/client"
)

// shown is how much a set of client-side rules has to show: breakers, endpoints under outlier detection, and methods with
// counters.
func shown(s *policies.Snapshot) (breakers, endpoints, methods int) {
	for range s.Breakers() {
		breakers++
	}
	for range s.Outliers() {
		endpoints++
	}
	return breakers, endpoints, s.Rules()[0].Targets
}

// Whatever is called, and wherever it is served: what is kept about it has a bound.
func TestNamesWithoutEndGrowNoStateOfAClient(t *testing.T) {
	const n = policies.MaxFound + policies.MaxFound/2
	guard, err := policies.ClientGuard([]config.Rule{toBilling("calls", to("*"), timeout(time.Second), retry(quick(2)), hedge(time.Second, "*"),
		circuit(config.CircuitBreaker{ConsecutiveFailures: 3}), outlying(config.OutlierDetection{}))})
	if err != nil {
		t.Fatal(err)
	}
	address := ""
	call := &outCall{idempotent: true, attempt: func(_ context.Context, _ int, endpoints client.EndpointFilter) error {
		if endpoints.Admit(address) {
			endpoints.Settle(address, nil)
		}
		return nil
	}}
	clients := newAnnouncer(t, guard)
	for _, end := range [][]string{{}, nil} { // no endpoints any more, or looked up no longer
		for i := range n {
			call.upstream, call.service, call.method = fmt.Sprint("u", i), fmt.Sprint("S", i), fmt.Sprint("M", i)
			address = fmt.Sprintf("10.0.%d.%d:1", i/256, i%256)
			clients.announce(call.upstream, call.service, []string{address})
			if _, err := guard.Do(t.Context(), call); err != nil {
				t.Fatal(err)
			}
			clients.announce(call.upstream, call.service, end)
		}
		if breakers, endpoints, methods := shown(guard.Snapshot()); breakers+endpoints > 0 || methods != policies.MaxFound+1 {
			t.Errorf("%d breakers, %d endpoints, %d methods", breakers, endpoints, methods)
		}
	}
	clients.announce("again", "S", []string{address})
	call.upstream, call.service = "again", "S"
	if _, err := guard.Do(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	if left := guard.Snapshot().Breakers(); len(left) != 1 || left[0].Upstream != "again" {
		t.Errorf("what has gone made no room: %+v", left)
	}
}
