package etcd

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

func TestLocalAddressesNeedToBeAllowed(t *testing.T) {
	kinds := map[string]string{
		"tcp@10.0.0.7:1": "", "tcp@billing.internal:1": "", "tcp@[2001:db8::1]:1": "", "tcp@7.example:1": "",
		"tcp@127.0.0.1:1": "loopback", "tcp@127.8.8.8:1": "loopback", "tcp@[::1]:1": "loopback", "tcp@[::ffff:127.0.0.1]:1": "loopback",
		"tcp@0.0.0.0:1": "loopback", "tcp@[::]:1": "loopback", "tcp@localhost:1": "loopback", "tcp@LocalHost.:1": "loopback",
		"tcp@x.localhost:1": "loopback", "tcp@127.1:1": "loopback", "tcp@2130706433:1": "loopback", "tcp@0x7f000001:1": "loopback",
		"tcp@169.254.169.254:1": "linkLocal", "tcp@[fe80::1%eth0]:1": "linkLocal", "tcp@[::ffff:169.254.169.254]:1": "linkLocal",
		"tcp@10.0.0.01:1": "", "tcp@167772161:1": "", "tcp@1.2.3.4.5:1": "", "tcp@0x100000000:1": "",
		"tcp@169.254.43518:1": "linkLocal", "tcp@0xa9fea9fe:1": "linkLocal", "tcp@0251.0376.0251.0376:1": "linkLocal", "tcp@0:1": "loopback",
		"unix@/run/docker.sock": "unix",
	}
	for _, allow := range []string{"", "loopback", "linkLocal", "unix"} {
		c, err := New(Options{Endpoints: []string{"http://10.0.0.1:2379"}, Layouts: []string{"rpcx"}, AllowEndpoints: []string{allow}})
		if err != nil {
			t.Fatal(err)
		}
		f := follow(c)
		for name, kind := range kinds {
			key := "rpcx/Arith/" + name
			if strings.HasPrefix(name, "unix@/") {
				continue // this layout has no keys for paths: see below
			}
			n := f.parse(&mvccpb.KeyValue{Key: []byte(key)})
			if believed := n.lower != ""; believed != (kind == "" || kind == allow) || !believed && n.kind != kind {
				t.Errorf("%s with %q: %+v", key, allow, n)
			}
		}
	}
	for name, kind := range kinds {
		network, address, _ := strings.Cut(name, "@")
		if got := addressKind(network, address); got != kind {
			t.Errorf("%s is %q", name, got)
		}
	}
}

func TestLoopbackIsAcceptedFromThisHostAndALocalEtcd(t *testing.T) {
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
		f := follow(cl)
		key := "services/arith/127.0.0.1:1"
		for range 3 { // listed each time
			n := f.parse(&mvccpb.KeyValue{Key: []byte(key), Value: []byte(c.value)})
			if n.lower != "" != c.believed {
				t.Errorf("%s of %s: %+v", c.value, c.etcd, n)
			}
			cl.cache.mu.Lock()
			cl.cache.layouts[0].keys = map[string]node{key: n}
			cl.cache.mu.Unlock()
		}
		if left, lines := cl.Status().LeftOut, strings.Count(log.String(), "level=WARN"); (len(left) == 0) != c.believed || (lines == 0) != c.believed || lines > 1 {
			t.Errorf("%v, %s", left, log.String())
		}
	}
}

func TestResolvedAddressesNeedToBeAllowed(t *testing.T) {
	const key, other = "services/arith/billing.internal:1", "services/arith/billing.internal:2"
	for _, c := range []struct {
		allow, ip string
		believed  bool
	}{
		{"", "10.0.0.7", true},
		{"", "2001:db8::1", true},
		{"", "127.0.1.1", false},
		{"", "::1", false},
		{"", "169.254.169.254", false},
		{"", "::ffff:169.254.169.254", false},
		{"loopback", "169.254.169.254", false},
		{"loopback", "127.0.0.1", true},
		{"linkLocal", "169.254.169.254", true},
	} {
		var log bytes.Buffer
		cl, err := New(Options{Endpoints: []string{"http://10.0.0.1:2379"}, AllowEndpoints: []string{c.allow}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		f := follow(cl)
		for range 3 { // each time it is listed and dialled
			n := f.parse(&mvccpb.KeyValue{Key: []byte(key)})
			if err := n.Check(netip.MustParseAddr(c.ip)); (err == nil) != c.believed {
				t.Errorf("%+v: %v", c, err)
			}
		}
		lines := strings.Count(log.String(), "level=WARN")
		if c.believed != (lines == 0) || !c.believed && (lines != 1 || !strings.Contains(log.String(), "key="+key) || !strings.Contains(log.String(), "allowEndpoints")) {
			t.Errorf("%+v: %s", c, log.String())
		}
		if n := f.parse(&mvccpb.KeyValue{Key: []byte("services/arith/10.0.0.7:1")}); n.Check != nil {
			t.Error("an address is looked at twice")
		}
		cl.registration.own = map[string]node{key: f.parse(&mvccpb.KeyValue{Key: []byte(key)})}
		for of, want := range map[string]bool{key: true, other: c.believed} {
			n := f.parse(&mvccpb.KeyValue{Key: []byte(of)})
			if err := n.Check(netip.MustParseAddr(c.ip)); (err == nil) != want {
				t.Errorf("%+v, a key of ours: %s: %v", c, of, err)
			}
		}
	}
}

func TestAKeyOfThisHostIsAcceptedForItsOwnAddressOnly(t *testing.T) {
	const key = "services/arith/127.0.0.1:1"
	for value, believed := range map[string]bool{
		`{"Addr":"127.0.0.1:1"}`:                          true,
		`{"Addr":"127.0.0.1:8970"}`:                       false,
		`{"Addr":"169.254.169.254:80"}`:                   false,
		`{"Addr":"127.0.0.1:1","Network":"unix"}`:         false,
		`{"Addr":"/run/docker.sock","Network":"unix"}`:    false,
		`{"Addr":"127.0.0.1:1","Metadata":{"group":"x"}}`: true,
	} {
		cl, err := New(Options{Endpoints: []string{"http://10.0.0.1:2379"}})
		if err != nil {
			t.Fatal(err)
		}
		own, _ := cl.layouts[0].parse(key, nil)
		cl.registration.own = map[string]node{key: own}
		f := follow(cl)
		if n := f.parse(&mvccpb.KeyValue{Key: []byte(key), Value: []byte(value)}); n.lower != "" != believed {
			t.Errorf("%s: %+v", value, n)
		}
	}
}

func TestWhatMayStayAtAKeyOfThisHost(t *testing.T) {
	const key, mine, other = "services/arith/10.0.0.7:1", 7, 8
	for _, c := range []struct {
		own, value string
		lease      int64
		stays      bool
	}{
		{own: "h1", value: `{"Addr":"10.0.0.7:1","Host":"h1"}`, lease: mine, stays: true},
		{own: "h1", value: `{"Addr":"10.0.0.7:1","Host":"h1","Metadata":{"group":"x"}}`, lease: mine},
		{own: "h1", value: `{"Addr":"10.0.0.7:1","Host":"h1"}`, lease: 0},
		{own: "h1", value: `{"Addr":"10.0.0.7:1","Metadata":{"group":"x"}}`, lease: other},
		{own: "h1", value: `{"Addr":"10.0.0.8:1","Host":"h2"}`, lease: other},
		{own: "h1", value: `{"Addr":"10.0.0.7:1","Host":"h2","Metadata":{"group":"x"}}`, lease: other, stays: true},
		{own: "", value: `{"Addr":"10.0.0.7:1"}`, lease: other, stays: true},
		{own: "h1", value: `{"Addr":"10.0.0.7:1","Metadata":{"state":"inactive"}}`, lease: 0, stays: true},
		{own: "h1", value: `{"Addr":"10.0.0.7:1","Metadata":{"state":"inactive"}}`, lease: other, stays: true},
		{own: "h1", value: `{"Addr":"10.0.0.7:1","Metadata":{"state":"inactive"}}`, lease: mine, stays: true},
		{own: "h1", value: `{"Addr":"10.0.0.8:1","Metadata":{"state":"inactive"}}`, lease: 0},
	} {
		cl, err := New(Options{Endpoints: []string{"http://10.0.0.1:2379"}})
		if err != nil {
			t.Fatal(err)
		}
		w := wanted{entry: entry{key: key, value: `{"Addr":"10.0.0.7:1","Host":"` + c.own + `"}`}}
		kv := &mvccpb.KeyValue{Key: []byte(key), Value: []byte(c.value), Lease: c.lease, ModRevision: 3}
		if got := (&leaseSession{reg: cl.registration, id: mine}).tolerates(w, kv); got != c.stays {
			t.Errorf("%+v: it stays: %v", c, got)
		}
		f := follow(cl)
		cl.cache.layouts[0].keys = map[string]node{key: f.parse(kv)}
		if got := cl.cache.has(0, []wanted{w}, cl.layouts.parse([]wanted{w}), mine); got != c.stays {
			t.Errorf("%+v: it is looked at again with every event", c)
		}
	}
}

// follow returns a follower of the first layout.
func follow(c *Cluster) *follower {
	return &follower{conn: c.conn, layout: c.layouts[0], cache: c.cache, trust: c.trust, log: c.log}
}
