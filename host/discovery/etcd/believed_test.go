package etcd

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

func TestAddressesOfThisMachineAreBelievedWhereTheyAreAllowed(t *testing.T) {
	kinds := map[string]string{
		"tcp@10.0.0.7:1": "", "tcp@billing.internal:1": "", "tcp@[2001:db8::1]:1": "", "tcp@7.example:1": "",
		"tcp@127.0.0.1:1": "loopback", "tcp@127.8.8.8:1": "loopback", "tcp@[::1]:1": "loopback", "tcp@[::ffff:127.0.0.1]:1": "loopback",
		"tcp@0.0.0.0:1": "loopback", "tcp@[::]:1": "loopback", "tcp@localhost:1": "loopback", "tcp@LocalHost.:1": "loopback",
		"tcp@x.localhost:1": "loopback", "tcp@127.1:1": "loopback", "tcp@2130706433:1": "loopback", "tcp@0x7f000001:1": "loopback",
		"tcp@169.254.169.254:1": "linkLocal", "tcp@[fe80::1%eth0]:1": "linkLocal", "tcp@[::ffff:169.254.169.254]:1": "linkLocal",
		"unix@/run/docker.sock": "unix",
	}
	for _, allow := range []string{"", "loopback", "linkLocal", "unix"} {
		c, err := New(Options{Endpoints: []string{"http://10.0.0.1:2379"}, Layouts: []string{"rpcx"}, AllowEndpoints: []string{allow}})
		if err != nil {
			t.Fatal(err)
		}
		f := &follower{c: c, layout: c.layouts[0]}
		for name, kind := range kinds {
			key := "rpcx/Arith/" + name
			if strings.HasPrefix(name, "unix@/") {
				continue // paths are no keys of this layout: below
			}
			n := f.parse(&mvccpb.KeyValue{Key: []byte(key)})
			if believed := n.lower != ""; believed != (kind == "" || kind == allow) || !believed && n.kind != kind {
				t.Errorf("%s with %q: %+v", key, allow, n)
			}
		}
	}
	for name, kind := range kinds {
		network, address, _ := strings.Cut(name, "@")
		if got := kindOf(network, address); got != kind {
			t.Errorf("%s is %q", name, got)
		}
	}
}

func TestLoopbackIsBelievedOfThisHostAndOfEtcdOnThisMachine(t *testing.T) {
	const mine, other = `{"Addr":"127.0.0.1:1","Host":"h1"}`, `{"Addr":"127.0.0.1:1","Host":"h2"}`
	for _, c := range []struct {
		etcd, value string
		believed    bool
	}{
		{"http://10.0.0.1:2379", mine, true},
		{"http://10.0.0.1:2379", other, false},
		{"http://10.0.0.1:2379", "", false},
		{"http://127.0.0.1:2379", other, true},
		{"http://localhost:2379", "", true},
	} {
		var log bytes.Buffer
		cl, err := New(Options{Endpoints: []string{c.etcd}, Host: "h1", Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		f := &follower{c: cl, layout: cl.layouts[0]}
		key := "services/arith/127.0.0.1:1"
		for range 3 { // as often as it is listed
			n := f.parse(&mvccpb.KeyValue{Key: []byte(key), Value: []byte(c.value)})
			if n.lower != "" != c.believed {
				t.Errorf("%s of %s: %+v", c.value, c.etcd, n)
			}
			cl.table.mu.Lock()
			cl.table.layouts[0].keys = map[string]node{key: n}
			cl.table.mu.Unlock()
		}
		if left, lines := cl.Status().LeftOut, strings.Count(log.String(), "level=WARN"); (len(left) == 0) != c.believed || (lines == 0) != c.believed || lines > 1 {
			t.Errorf("%v, %s", left, log.String())
		}
	}
}
