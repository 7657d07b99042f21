package gatewayalone_test

import (
	"os"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	_ "github.com/easymicro/easymicro/samples"
)

func TestTheManifestOfTheGatewayIsWithoutProblemsToo(t *testing.T) {
	set, err := load.Load("gateway.yaml", load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range host.Check(set, registry.Default()) {
		t.Error(p)
	}
}

// With an etcd the gateway is tested in host/discovery/etcd/etcdtest. Without one it reports that.
func TestTheGatewayServesWithoutEtcdAndReportsIt(t *testing.T) {
	text, err := os.ReadFile("gateway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile("policies.yaml")
	if err != nil {
		t.Fatal(err)
	}
	manifest := strings.Replace(string(text), "127.0.0.1:2379", "127.0.0.1:1", 1)
	gw := hosttest.Start(t, manifest, hosttest.Options{Files: map[string]string{"policies.yaml": string(rules)}})
	for _, path := range []string{"/Arith/Mul", "/v1/mul"} {
		if r, body := gw.Post(path, `{"a":6,"b":7}`); r.StatusCode != 502 || !strings.Contains(body, "etcd main has not listed its services yet") {
			t.Errorf("%s: %d %s", path, r.StatusCode, body)
		}
	}
}
