package etcd

import (
	"slices"
	"testing"
	"time"
)

// A client asks by the name that it watches: in another case, or of hosts that publish names in lower case only.
func TestWhatIsStaleIsFoundAsWatchFindsIt(t *testing.T) {
	for name, c := range map[string]struct{ value, lookup string }{
		"by its exact name":    {`{"Service":"Arith"}`, "Arith"},
		"in another case":      {`{"Service":"Arith"}`, "aRITH"},
		"the original's names": {"", "Arith"},
	} {
		t.Run(name, func(t *testing.T) {
			cluster, err := New(Options{Endpoints: []string{"http://a:1"}})
			if err != nil {
				t.Fatal(err)
			}
			keys := map[string]node{}
			for _, key := range []string{"services/arith/a:1", "services/arith/b:1", "services/arith/c:1"} {
				keys[key], _ = cluster.layouts[0].parse(key, []byte(c.value))
			}
			cluster.table.replace(time.Now(), 0, keys)
			if got := cluster.Stale(c.lookup); len(got) != 0 {
				t.Errorf("%v is stale, and all live", got)
			}
			cluster.table.replace(time.Now(), 0, map[string]node{"services/arith/b:1": keys["services/arith/b:1"]})
			if got := cluster.Stale(c.lookup); !slices.Equal(got, []string{"a:1", "c:1"}) {
				t.Errorf("%v", got)
			}
			if got := cluster.Stale("Other"); len(got) != 0 {
				t.Errorf("%v of another service", got)
			}
		})
	}
}
