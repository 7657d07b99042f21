package host_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire/client"
)

// A gateway that lives for months sees more names than it has room for.
func TestServicesThatAreGoneLeaveTheirMetricsToNewOnes(t *testing.T) {
	t.Parallel()
	y := newYard()
	gw := standalone(t, y, toAll, hosttest.Options{})
	gw.Post("/Gone/Mul", `{}`)
	names := func(n int) {
		eventually(t, fmt.Sprintf("%d services", n), func() bool { return len(gw.Remote().Services) == n })
	}
	y.mu.Lock()
	for i := range 1000 {
		y.services[fmt.Sprintf("Gone%d", i)] = []client.Endpoint{{Address: "127.0.0.1:1"}}
	}
	y.mu.Unlock()
	y.put("Last", "127.0.0.1:1")
	names(1001)
	gw.Post("/Gone7/Mul", `{}`)
	if text := scrape(t, gw); !strings.Contains(text, "Gone7/") {
		t.Error("what is there is in no metric")
	}
	y.mu.Lock()
	clear(y.services)
	y.mu.Unlock()
	y.put("Last")
	names(0)
	far(t, y, newPlant(t), "")
	names(3)
	gw.Post("/Arith/Mul", `{}`)
	gw.Post("/Arith/Mul", `{}`)
	eventually(t, "metrics of those that are there, and of no others", func() bool {
		text := scrape(t, gw)
		return strings.Contains(text, `{rpc_method="Arith/Mul",rpc_status_code="OK"`) && !strings.Contains(text, "Gone7/")
	})
}

// The same names come back, and are counted.
func TestServicesThatComeBackHaveMetricsAgain(t *testing.T) {
	t.Parallel()
	y := newYard()
	far(t, y, newPlant(t), "")
	gw := standalone(t, y, toAll, hosttest.Options{})
	names := func(n int) {
		eventually(t, fmt.Sprintf("%d services", n), func() bool { return len(gw.Remote().Services) == n })
	}
	names(3)
	gw.Post("/Arith/Mul", `{}`)
	y.mu.Lock()
	kept := y.services
	y.services = map[string][]client.Endpoint{}
	for i := range 1000 {
		y.services[fmt.Sprintf("Other%d", i)] = []client.Endpoint{{Address: "127.0.0.1:1"}}
	}
	y.mu.Unlock()
	y.put("Last", "127.0.0.1:1")
	names(1001)
	y.mu.Lock()
	y.services = kept
	y.mu.Unlock()
	y.put("Last")
	names(3)
	eventually(t, "metrics of those that are there", func() bool {
		gw.Post("/Arith/Mul", `{}`)
		return strings.Contains(scrape(t, gw), `{rpc_method="Arith/Mul",rpc_status_code="OK"`)
	})
}
