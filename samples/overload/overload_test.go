package overload_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/host/policytest"
	_ "github.com/easymicro/easymicro/samples" // the handlers of the manifest
	"github.com/easymicro/easymicro/samples/overload"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

func TestPolicies(t *testing.T) { policytest.Test(t, "tests.yaml") }

// start runs the sample after an edit, with a CPU that is never too busy: other tests use it too.
func start(t *testing.T, from, to string) *hosttest.Host {
	t.Helper()
	t.Parallel()
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	h.Edit("policies.yaml", "cpuAbove: 85%", "cpuAbove: 100%")
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Fatalf("%s %v", r.Result, r.Problems)
	}
	h.Edit("easymicro.yaml", from, to)
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Fatalf("%s %v", r.Result, r.Problems)
	}
	return h
}

func call(ctx context.Context, c *wire.Conn, method string) *code.Error {
	return code.From(hosttest.CallJSON(ctx, c, "Shop", method, overload.None{}, new(overload.Sum)))
}

func TestBelowTheCapacityAllIsServed(t *testing.T) {
	c := start(t, "takes: 5ms", "takes: 1ms").Dial()
	for range 20 {
		for _, method := range []string{"Price", "Order"} {
			if e := call(t.Context(), c, method); e != nil {
				t.Errorf("%s: %v", method, e)
			}
		}
	}
}

func TestOrdersBeyondTheLimitAreRefusedAndWaitForNothing(t *testing.T) {
	c := start(t, "takes: 5ms", "takes: 1h").Dial()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	refused := make(chan *code.Error, 1)
	var orders sync.WaitGroup
	for range 250 { // more than any limit within the bounds
		orders.Go(func() {
			if e := call(ctx, c, "Order"); e != nil && e.Rule != "" {
				select {
				case refused <- e:
				default:
				}
			}
		})
	}
	e := <-refused // while the others still wait for the database
	cancel()
	orders.Wait()
	if e.Code != code.Unavailable || e.Reason != code.ReasonOverloaded || !strings.HasPrefix(e.Rule, "order-places@") ||
		!strings.Contains(e.Message, "adaptive concurrency limit of") || e.RetryAfter <= 0 {
		t.Errorf("%+v", e)
	}
}
