package etcd

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/wire/client"
)

var arith = Instance{
	Service: "Arith", Address: "10.0.0.7:8972", Metadata: map[string]string{"weight": "10", "group": "blue"}, Host: "h1", Version: "v1",
}

func TestKeysAndValuesAreByteForByteThoseOfTheLayout(t *testing.T) {
	plain := Instance{Service: "Arith", Address: "10.0.0.7:8972"}
	for name, c := range map[string]struct {
		layout, prefix string
		instance       Instance
		want           map[string]string
	}{
		// The original marshals a struct of Name, Addr and Network, and ignores unknown fields.
		"easymicro": {"easymicro", "", arith, map[string]string{
			"services/arith/10.0.0.7:8972": `{"Name":"arith","Addr":"10.0.0.7:8972","Network":"tcp","Service":"Arith",` +
				`"Metadata":{"group":"blue","weight":"10"},"Host":"h1","Version":"v1"}`,
		}},
		"easymicro without metadata": {"easymicro", "", plain, map[string]string{
			"services/arith/10.0.0.7:8972": `{"Name":"arith","Addr":"10.0.0.7:8972","Network":"tcp","Service":"Arith"}`,
		}},
		"easymicro elsewhere": {"easymicro", "prod/svc/", plain, map[string]string{
			"prod/svc/arith/10.0.0.7:8972": `{"Name":"arith","Addr":"10.0.0.7:8972","Network":"tcp","Service":"Arith"}`,
		}},
		"a prefix without a slash at its end": {"easymicro", "svc", plain, map[string]string{
			"svc/arith/10.0.0.7:8972": `{"Name":"arith","Addr":"10.0.0.7:8972","Network":"tcp","Service":"Arith"}`,
		}},
		// rpcx's etcd plugin writes both markers and a URL query, whose keys are sorted.
		"rpcx": {"rpcx", "", arith, map[string]string{
			"rpcx": "rpcx_path", "rpcx/Arith": "Arith", "rpcx/Arith/tcp@10.0.0.7:8972": "group=blue&weight=10",
		}},
		"rpcx at a base of its own, as rpcx programs spell it": {"rpcx", "/rpcx_test", plain, map[string]string{
			"/rpcx_test": "rpcx_path", "/rpcx_test/Arith": "Arith", "/rpcx_test/Arith/tcp@10.0.0.7:8972": "",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			layouts, err := newLayouts([]string{c.layout}, c.prefix)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, e := range layouts[0].entries(c.instance) {
				got[e.key] = e.value
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatIsPublishedIsRead(t *testing.T) {
	for _, name := range []string{"easymicro", "rpcx"} {
		layouts, err := newLayouts([]string{name}, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range layouts[0].entries(arith) {
			n, ok := layouts[0].parse(e.key, []byte(e.value))
			if ok == e.marker {
				t.Errorf("%s: %s: read %v", name, e.key, ok)
			}
			if ok && (n.service != "Arith" || !n.exact || n.Address != arith.Address || n.Weight != 10 || !maps.Equal(n.Metadata, arith.Metadata)) {
				t.Errorf("%s: %+v", name, n)
			}
		}
	}
}

func TestKeysOfOtherProgramsAreParsedAsFarAsPossible(t *testing.T) {
	tcp := func(address string) client.Endpoint { return client.Endpoint{Network: "tcp", Address: address} }
	for name, c := range map[string]struct {
		layout, key, value string
		want               client.Endpoint // none: the key is not an endpoint
		service            string
	}{
		"the original":                   {"easymicro", "services/arith/a:1", `{"Name":"arith","Addr":"a:1","Network":"tcp"}`, tcp("a:1"), "arith"},
		"the value counts":               {"easymicro", "services/arith/a:1", `{"Addr":"b:2"}`, tcp("b:2"), "arith"},
		"no value":                       {"easymicro", "services/arith/a:1", "", tcp("a:1"), "arith"},
		"no JSON":                        {"easymicro", "services/arith/a:1", "{", tcp("a:1"), "arith"},
		"JSON of another kind":           {"easymicro", "services/arith/a:1", `[1]`, tcp("a:1"), "arith"},
		"wrong types":                    {"easymicro", "services/arith/a:1", `{"Addr":7,"Network":[],"Service":{}}`, tcp("a:1"), "arith"},
		"another service inside":         {"easymicro", "services/arith/a:1", `{"Service":"Echo"}`, tcp("a:1"), "arith"},
		"our own name":                   {"easymicro", "services/arith/a:1", `{"Service":"ARITH"}`, tcp("a:1"), "ARITH"},
		"no address in either":           {"easymicro", "services/arith/x", `{"Addr":"y"}`, client.Endpoint{}, ""},
		"port 0":                         {"easymicro", "services/arith/a:0", "", client.Endpoint{}, ""},
		"control characters":             {"easymicro", "services/arith/a\n:1", "", client.Endpoint{}, ""},
		"no service":                     {"easymicro", "services//a:1", "", client.Endpoint{}, ""},
		"another prefix":                 {"easymicro", "service/arith/a:1", "", client.Endpoint{}, ""},
		"a long value":                   {"easymicro", "services/arith/a:1", strings.Repeat(" ", maxValueBytes) + `{"Addr":"b:2"}`, tcp("a:1"), "arith"},
		"a marker":                       {"rpcx", "rpcx/Arith", "Arith", client.Endpoint{}, ""},
		"rpcx":                           {"rpcx", "rpcx/Arith/tcp@a:1", "", tcp("a:1"), "Arith"},
		"rpcx over IPv6":                 {"rpcx", "rpcx/Arith/tcp@[::1]:1", "", tcp("[::1]:1"), "Arith"},
		"rpcx over a socket":             {"rpcx", "rpcx/Arith/unix@/run/x.sock", "", client.Endpoint{Network: "unix", Address: "/run/x.sock"}, "Arith"},
		"a service in folders":           {"rpcx", "rpcx/a/b/tcp@a:1", "", tcp("a:1"), "a/b"},
		"a network that we do not speak": {"rpcx", "rpcx/Arith/quic@a:1", "", client.Endpoint{}, ""},
		"metadata of no query":           {"rpcx", "rpcx/Arith/tcp@a:1", "%%%", tcp("a:1"), "Arith"},
	} {
		t.Run(name, func(t *testing.T) {
			layouts, err := newLayouts([]string{c.layout}, "")
			if err != nil {
				t.Fatal(err)
			}
			n, ok := layouts[0].parse(c.key, []byte(c.value))
			if ok != (c.service != "") {
				t.Fatalf("read %v: %+v", ok, n)
			}
			if ok && (n.Network != c.want.Network || n.Address != c.want.Address || n.service != c.service) {
				t.Errorf("got %+v", n)
			}
		})
	}
}

func TestMetadataSetsWeightAndState(t *testing.T) {
	for value, want := range map[string]struct {
		weight int
		out    bool
	}{
		"weight=10":                 {10, false},
		"weight=-1":                 {0, false},
		"weight=many":               {0, false},
		"weight=99999999":           {maxWeight, false},
		"state=inactive&weight=2":   {2, true}, // how rpcx takes a node out of service
		"state=active":              {0, false},
		"weight=3&weight=4&broken%": {3, false},
	} {
		n, ok := rpcxLayout{"rpcx"}.parse("rpcx/Arith/tcp@a:1", []byte(value))
		if !ok || n.Weight != want.weight || n.inactive != want.out {
			t.Errorf("%s: %+v", value, n)
		}
	}
	n, ok := easymicroLayout{"services/"}.parse("services/arith/a:1", []byte(`{"Metadata":{"weight":7,"blue":true,"list":[1]}}`))
	if !ok || n.Weight != 7 || n.Metadata["blue"] != "true" || len(n.Metadata) != 2 {
		t.Errorf("numbers in metadata: %+v", n)
	}
}

func TestInvalidOptionsAreRefused(t *testing.T) {
	for want, o := range map[string]Options{
		"no endpoints":         {Name: "main"},
		`unknown layout "etc"`: {Name: "main", Endpoints: []string{"http://x"}, Layouts: []string{"etc"}},
		"twice":                {Name: "main", Endpoints: []string{"http://x"}, Layouts: []string{"rpcx", "rpcx"}},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "etcd main: ") {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("services/arith/a:1", []byte(`{"Addr":"b:2","Metadata":{"weight":"1"}}`))
	f.Add("rpcx/Arith/tcp@a:1", []byte("weight=1&group=%zz"))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		for _, l := range []layout{easymicroLayout{"services/"}, rpcxLayout{"rpcx"}} {
			n, ok := l.parse(key, value)
			if ok && (n.Address == "" || n.service == "" || n.lower != strings.ToLower(n.service) || n.Weight < 0) {
				t.Errorf("%q: %+v", key, n)
			}
		}
	})
}
