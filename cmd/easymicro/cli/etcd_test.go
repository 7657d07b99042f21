package cli

import (
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/discovery/etcd"
	"github.com/easymicro/easymicro/wire/client"
)

func TestEndpointsAreListedWithVersionsIfThereAreSome(t *testing.T) {
	at := func(address, version string) etcd.EndpointState {
		return etcd.EndpointState{
			Endpoint: client.Endpoint{Address: address, Metadata: map[string]string{"zone": "a"}},
			Host:     "h", Version: version, Layouts: []string{"rpcx"}, State: "live",
		}
	}
	for name, c := range map[string]struct {
		found []etcd.EndpointState
		want  string
	}{
		"none":     {[]etcd.EndpointState{at("a:1", ""), at("b:1", "devel")}, "SERVICE ENDPOINT HOST STATE METADATA|S a:1 h live zone=a|S b:1 h live zone=a"},
		"some":     {[]etcd.EndpointState{at("a:1", ""), at("b:1", "v1")}, "SERVICE ENDPOINT HOST STATE VERSION METADATA|S a:1 h live  zone=a|S b:1 h live v1 zone=a"},
		"no hosts": {nil, "SERVICE ENDPOINT HOST STATE METADATA"},
	} {
		services := etcdServices(etcd.Status{Services: map[string][]etcd.EndpointState{"S": c.found}})
		var lines []string
		for _, row := range endpointRows(services) {
			lines = append(lines, strings.Join(row, " "))
		}
		if got := strings.Join(lines, "|"); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
		for _, e := range services[0].Endpoints {
			if len(e.Layouts) != 1 || e.Network != "tcp" {
				t.Errorf("%s: %+v", name, e)
			}
		}
	}
}

func TestServiceIsFoundByItsNameOrAMethods(t *testing.T) {
	for name, want := range map[string]string{
		"Arith": "Arith", "arith": "Arith", "Arith.Mul": "Arith", "shop.v1.till": "shop.v1.Till", "shop.v1.Till/Sell": "shop.v1.Till",
		"Arit":          "service Arit not found in etcd (did you mean Arith?)",
		"Arit.Mul":      "service Arit not found in etcd (did you mean Arith?)",
		"shop.v1.Til":   "service shop.v1.Til not found in etcd (did you mean shop.v1.Till?)",
		"shopp.v1.Till": "service shopp.v1.Till not found in etcd (did you mean shop.v1.Till?)",
		"x.Mul":         "service x not found in etcd",
		"shop.v1.Till":  "shop.v1.Till",
	} {
		got, err := pickService([]string{"Arith", "shop.v1.Till"}, name)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
