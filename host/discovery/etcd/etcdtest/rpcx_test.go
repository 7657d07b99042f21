package etcdtest_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/discovery/etcd"
	"github.com/easymicro/easymicro/host/discovery/etcd/etcdtest"
)

// The rpcx plugin EtcdV3RegisterPlugin writes markers, then its node, and rewrites the node at every interval with its
// counters. The base path may begin with a slash.
func TestServersOfRpcxAreFoundByTheKeysThatTheirPluginWrites(t *testing.T) {
	for base, prefix := range map[string]string{"rpcx": "", "/rpcx_test": "/rpcx_test", "shop/rpcx": "shop/rpcx/"} {
		t.Run(base, func(t *testing.T) {
			s := etcdtest.Start(t)
			c := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, Layouts: []string{"rpcx", "easymicro"}, Prefix: prefix})
			w := watch(t, c, "Arith")
			s.Put(base, "rpcx_path")
			s.Put(base+"/Arith", "Arith")
			s.Put(base+"/Arith/tcp@10.0.0.7:8972", "group=blue&weight=10")
			s.Put(base+"/Arith/tcp@10.0.0.8:8972", "")
			s.Put(base+"/Arith/quic@10.0.0.9:8972", "")           // supported by rpcx only
			s.Put(base+"/Arithmetic/tcp@10.0.0.10:8972", "")      // another service
			s.Put("services/echo/10.0.0.11:8972", "no one knows") // another service of the other layout
			w.want("10.0.0.7:8972", "10.0.0.8:8972")
			s.Put(base+"/Arith/tcp@10.0.0.7:8972", "calls=1.25&connections=0.50&group=blue&weight=20")
			eventually(t, w.changed, func() bool { return w.weights()["10.0.0.7:8972"] == 20 }, func() any { return w.weights() })
			if got := w.group("10.0.0.7:8972"); got != "blue" {
				t.Errorf("group %q", got)
			}
			s.Put(base+"/Arith/tcp@10.0.0.8:8972", "state=inactive")
			w.want("10.0.0.7:8972")
			s.Put(base+"/Arith/tcp@10.0.0.8:8972", "")
			w.want("10.0.0.7:8972", "10.0.0.8:8972")
		})
	}
}

func (w *watched) weights() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	weights := map[string]int{}
	for _, e := range w.list {
		weights[e.Address] = e.Weight
	}
	return weights
}

func (w *watched) group(address string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.list {
		if e.Address == address {
			return e.Metadata["group"]
		}
	}
	return ""
}

// A client of rpcx lists the keys that begin with base and service, and keeps the rest of each: the network and address as
// key, the metadata as value.
func TestClientsOfRpcxFindWhatHostsPublish(t *testing.T) {
	s := etcdtest.Start(t)
	c := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, Layouts: []string{"easymicro", "rpcx"}})
	c.Publish([]etcd.Instance{
		{Service: "Arith", Address: "10.0.0.7:8972", Metadata: map[string]string{"group": "blue"}},
		{Service: "Arithmetic", Address: "10.0.0.7:8972"},
	})
	registered(t, c)
	found := map[string]string{}
	for key, value := range s.Keys() {
		if node, ok := strings.CutPrefix(key, "rpcx/Arith/"); ok {
			found[node] = value
		}
	}
	if want := map[string]string{"tcp@10.0.0.7:8972": "group=blue"}; !maps.Equal(found, want) {
		t.Errorf("%v, want %v", found, want)
	}
}

// A client of the original lists the keys that begin with services/, the name in lower case and a slash. It panics on a
// value that is not a JSON object, dials only tcp, and treats a name that is not in lower case as a new node each time.
func TestClientsOfTheOriginalFindWhatHostsPublish(t *testing.T) {
	s := etcdtest.Start(t)
	c := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, Layouts: []string{"easymicro", "rpcx"}})
	c.Publish([]etcd.Instance{
		{Service: "Arith", Address: "10.0.0.7:8972", Host: "orders-1", Version: "v1", Metadata: map[string]string{"name": "x", "addr": "y"}},
	})
	registered(t, c)
	type serviceInfo struct{ Name, Addr, Network string } // of the original
	var found []serviceInfo
	for key, value := range s.Keys() {
		if !strings.HasPrefix(key, "services/arith/") {
			continue
		}
		var info serviceInfo
		if err := json.Unmarshal([]byte(value), &info); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		found = append(found, info)
	}
	if len(found) != 1 || found[0] != (serviceInfo{"arith", "10.0.0.7:8972", "tcp"}) {
		t.Errorf("%+v", found)
	}
}

func TestServersOfTheOriginalAreFound(t *testing.T) {
	s := etcdtest.Start(t)
	c := cluster(t, etcd.Options{Endpoints: []string{s.URL()}})
	w := watch(t, c, "Arith") // the keys have arith
	s.Put("services/arith/10.0.0.7:8972", `{"Name":"arith","Addr":"10.0.0.7:8972","Network":"tcp"}`)
	w.want("10.0.0.7:8972")
}

// A host that publishes under both layouts is one endpoint.
func TestAnAddressUnderBothLayoutsIsOneEndpoint(t *testing.T) {
	s := etcdtest.Start(t)
	c := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, Layouts: []string{"easymicro", "rpcx"}})
	c.Publish([]etcd.Instance{instance("Arith", "10.0.0.7:8972")})
	s.Put("rpcx/Arith/tcp@10.0.0.8:8972", "") // a server that has not moved
	registered(t, c)
	watch(t, c, "Arith").want("10.0.0.7:8972", "10.0.0.8:8972")
}
