package etcdtest_test

import (
	"net/http"
	"testing"

	"github.com/easymicro/easymicro/host/discovery/etcd/etcdtest"
)

// An edit to a wrong etcd address does not lose what was found: calls continue, to the last known hosts, until the new etcd
// has answered.
func TestAnEditToADeadEtcdKeepsTheEndpoints(t *testing.T) {
	server := etcdtest.Start(t)
	published(t, server.URL(), "a", "Arith")
	gw := leading(t, server.URL(), "['*']", 50, "")
	soon(t, "the gateway leads to it", answers(gw, "/Arith/Mul"))
	caller := calling(t, server.URL())
	s := callSteadily(t, caller)
	const nowhere = "http://127.0.0.1:1"
	for range 2 { // the second time with endpoints that were themselves taken over
		gw.Edit("easymicro.yaml", server.URL(), nowhere)
		caller.Edit("easymicro.yaml", server.URL(), nowhere)
		if r := gw.Revision(); r.Error != "" || len(r.Problems) > 0 {
			t.Fatalf("%+v", r)
		}
		if r := caller.Revision(); r.Error != "" || len(r.Problems) > 0 {
			t.Fatalf("%+v", r)
		}
		for range 20 {
			if r, body, err := gw.TryPost("/Arith/Mul", `{"a":1,"b":1}`); err != nil || r.StatusCode != http.StatusOK {
				t.Fatalf("the gateway has lost the service: %v %s", err, body)
			}
		}
		s.answering()
		soon(t, "calls go on", func() bool { return len(s.answering()) == 1 })
		gw.Edit("easymicro.yaml", nowhere, server.URL())
		caller.Edit("easymicro.yaml", nowhere, server.URL())
		gw.Revision()
		caller.Revision()
	}
	published(t, server.URL(), "b", "Other")
	soon(t, "what is new is found", answers(gw, "/Other/Mul"))
	s.end(t)
}
