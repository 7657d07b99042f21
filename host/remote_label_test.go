package host_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire/client"
)

// many are as many services as have metrics of their own.
func many(name string) map[string][]client.Endpoint {
	list := make(map[string][]client.Endpoint, 1000)
	for i := range 1000 {
		list[fmt.Sprintf("%s%d", name, i)] = []client.Endpoint{{Address: "127.0.0.1:1"}}
	}
	return list
}

// ownMetrics reports whether a method, as Service/Method, has metrics of its own in the gateway.
func ownMetrics(t *testing.T, gw *hosttest.Host, method string) bool {
	t.Helper()
	return strings.Contains(scrape(t, gw), `rpc_server_call_duration_seconds_count{rpc_method="`+method+`"`)
}

// A gateway that lives for months sees more names than it has room for.
func TestServicesThatAreGoneLeaveTheirMetricsToNewOnes(t *testing.T) {
	t.Parallel()
	y := newYard()
	gw := standalone(t, y, toAll, hosttest.Options{})
	names := func(n int) {
		eventually(t, fmt.Sprintf("%d services", n), func() bool { return len(gw.Remote().Services) == n })
	}
	y.swap(t, many("Gone"))
	names(1000)
	gw.Post("/Gone7/Mul", `{}`)
	if !ownMetrics(t, gw, "Gone7/_OTHER") {
		t.Error("what is there is in no metric")
	}
	y.swap(t, map[string][]client.Endpoint{})
	names(0)
	far(t, y, newPlant(t), "")
	names(3)
	gw.Post("/Arith/Mul", `{}`)
	gw.Post("/Arith/Mul", `{}`)
	eventually(t, "metrics of what is there, and of nothing else", func() bool {
		return ownMetrics(t, gw, "Arith/Mul") && !ownMetrics(t, gw, "Gone7/_OTHER")
	})
}

// A service is gone for as long as it takes to drop its metrics, and no caller asks for it meanwhile. What counted for it
// then is in no metric any more.
func TestServicesThatComeBackHaveMetricsAgain(t *testing.T) {
	t.Parallel()
	y := newYard()
	far(t, y, newPlant(t), "")
	gw := standalone(t, y, toAll, hosttest.Options{})
	both := func() bool { return ownMetrics(t, gw, "Arith/Mul") && ownMetrics(t, gw, "Arith/_OTHER") }
	call := func() {
		gw.Post("/Arith/Mul", `{}`) // it is not known to be a method until it has answered
		gw.Post("/Arith/Mul", `{}`)
	}
	call()
	eventually(t, "metrics of what is there", both)
	here := y.swap(t, many("Other"))
	eventually(t, "no metrics of what is not", func() bool { return !ownMetrics(t, gw, "Arith/Mul") && !ownMetrics(t, gw, "Arith/_OTHER") })
	y.swap(t, here)
	call()
	eventually(t, "metrics of what is there again", both)
}

// What came when there was no room counts as one of many until others go.
func TestServicesHaveMetricsOnceThereIsRoom(t *testing.T) {
	t.Parallel()
	y := newYard()
	far(t, y, newPlant(t), "")
	gw := standalone(t, y, toAll, hosttest.Options{})
	all := many("Early")
	here := y.swap(t, all)
	if n := len(gw.Remote().Services); n != len(all) { // which takes all the room
		t.Fatalf("%d services", n)
	}
	all = maps.Clone(all)
	maps.Copy(all, here)
	y.swap(t, all)
	gw.Post("/Arith/Nothing", `{}`)
	eventually(t, "metrics of something", func() bool { return ownMetrics(t, gw, "_OTHER") })
	if ownMetrics(t, gw, "Arith/_OTHER") {
		t.Fatal("there was room")
	}
	y.swap(t, here)
	gw.Post("/Arith/Nothing", `{}`)
	eventually(t, "metrics of its own", func() bool { return ownMetrics(t, gw, "Arith/_OTHER") })
}
