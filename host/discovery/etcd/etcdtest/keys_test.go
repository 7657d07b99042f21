package etcdtest_test

import (
	"maps"
	"testing"

	"github.com/easymicro/easymicro/host/discovery/etcd"
	"github.com/easymicro/easymicro/host/discovery/etcd/etcdtest"
)

// The original easymicro and rpcx-etcd expect exactly these keys and values.
func TestBothLayoutsArePublishedByteForByte(t *testing.T) {
	s := etcdtest.Start(t)
	c := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, Layouts: []string{"easymicro", "rpcx"}})
	c.Publish([]etcd.Instance{
		{
			Service: "Arith", Address: "10.0.0.7:8972", Metadata: map[string]string{"weight": "10", "group": "blue"},
			Host: "orders-1", Version: "v1.2.3",
		},
		{Service: "Echo", Address: "10.0.0.7:8972"},
	})
	registered(t, c)
	want := map[string]string{
		"services/arith/10.0.0.7:8972": `{"Name":"arith","Addr":"10.0.0.7:8972","Network":"tcp","Service":"Arith",` +
			`"Metadata":{"group":"blue","weight":"10"},"Host":"orders-1","Version":"v1.2.3"}`,
		"services/echo/10.0.0.7:8972":  `{"Name":"echo","Addr":"10.0.0.7:8972","Network":"tcp","Service":"Echo"}`,
		"rpcx":                         "rpcx_path",
		"rpcx/Arith":                   "Arith",
		"rpcx/Arith/tcp@10.0.0.7:8972": "group=blue&weight=10",
		"rpcx/Echo":                    "Echo",
		"rpcx/Echo/tcp@10.0.0.7:8972":  "",
	}
	if got := s.Keys(); !maps.Equal(got, want) {
		t.Errorf("keys\n%v\nwant\n%v", got, want)
	}
	watch(t, c, "Arith").want("10.0.0.7:8972")
	if err := c.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.Keys(); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}
