package host_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
)

// What a gateway passes on to is shown like the upstreams of handlers.
func TestStatusAndMetricsOfAGatewayShowTheServicesThatWereCalled(t *testing.T) {
	t.Parallel()
	y := newYard()
	up, _ := far(t, y, newPlant(t), "")
	gw := standalone(t, y, toAll, hosttest.Options{})
	s, err := gw.Admin.Status(t.Context())
	must(t, err)
	if len(s.Upstreams) != 0 {
		t.Errorf("before the first call: %+v", s.Upstreams)
	}
	gw.Post("/Arith/Mul", `{}`)
	s, err = gw.Admin.Status(t.Context())
	must(t, err)
	if len(s.Upstreams) != 1 || s.Upstreams[0].Name != "Arith" || s.Upstreams[0].Resolve != "etcd main" || !s.Upstreams[0].Called ||
		len(s.Upstreams[0].Endpoints) != 1 || s.Upstreams[0].Endpoints[0].Address != up.Address || s.Upstreams[0].Endpoints[0].State != "ready" {
		t.Errorf("after it: %+v", s.Upstreams)
	}
	if text := scrape(t, gw); !strings.Contains(text, `easymicro_discovery_endpoints{service="Arith",state="ready"} 1`) {
		t.Error("the endpoint is in no metric")
	}
}

func TestWhatIsShownOfTheServicesOfOtherHostsIsBounded(t *testing.T) {
	t.Parallel()
	y := newYard()
	for i := range 210 {
		y.put(fmt.Sprintf("S%d", i), "127.0.0.1:1")
	}
	gw := standalone(t, y, toAll, hosttest.Options{})
	for i := range 210 {
		gw.Post(fmt.Sprintf("/S%d/Mul", i), `{}`)
	}
	s, err := gw.Admin.Status(t.Context())
	must(t, err)
	if n := len(s.Upstreams); n != 200 {
		t.Errorf("%d are shown", n)
	}
}
