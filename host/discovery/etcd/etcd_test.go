package etcd

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire/client"
)

// A host that was killed and restarted has the same key with a new revision. Clients dial it at once when they see that.
func TestEndpointsThatAreRegisteredAgainAreReportedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{Endpoints: []string{"http://a:1"}})
		if err != nil {
			t.Fatal(err)
		}
		c.following.Do(func() {}) // there is no etcd to follow
		put := func(revision int64) map[string]node {
			n, ok := c.layouts[0].parse("services/arith/a:1", []byte(`{"Service":"Arith"}`))
			if !ok {
				t.Fatal("no endpoint")
			}
			n.revision = revision
			return map[string]node{"services/arith/a:1": n}
		}
		event := func(revision int64) {
			n := put(revision)["services/arith/a:1"]
			c.cache.edit(time.Now(), 0, map[string]*node{"services/arith/a:1": &n})
		}
		list := func(keys map[string]node) { c.cache.replace(time.Now(), 0, keys) }
		list(put(1))
		lists := make(chan []client.Endpoint, 10)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			_ = c.Watch(ctx, "Arith", func(list []client.Endpoint, _ error) { lists <- list })
		}()
		for _, step := range []struct {
			name string
			do   func()
			want int
		}{
			{"the first list", func() {}, 1},
			{"put again", func() { event(2) }, 1},
			{"the same list", func() { list(put(2)) }, 0},
			{"a list of what was put meanwhile", func() { list(put(3)) }, 1},
			{"gone, but kept", func() { list(map[string]node{}) }, 0},
			{"back under the address that was kept", func() { event(4) }, 1},
			{"another key is put", func() {
				c.cache.edit(time.Now(), 0, map[string]*node{"services/other/b:1": {service: "Other", lower: "other", revision: 5}})
			}, 0},
		} {
			step.do()
			synctest.Wait()
			if got := len(lists); got != step.want {
				t.Errorf("%s: reported %d times, want %d", step.name, got, step.want)
			}
			for len(lists) > 0 {
				if list := <-lists; len(list) != 1 || list[0].Address != "a:1" {
					t.Errorf("%s: %v", step.name, list)
				}
			}
		}
		cancel()
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// An endpoint in two layouts has two keys, written one after the other.
func TestAnEndpointHasTheRevisionOfItsLastKey(t *testing.T) {
	a, b := node{revision: 7, layouts: []string{"rpcx"}}, node{revision: 3, layouts: []string{"easymicro"}}
	a.Address, b.Address = "a:1", "a:1"
	if one, two := a.merge(b).revision, b.merge(a).revision; one != 7 || two != 7 {
		t.Errorf("%d and %d, want 7", one, two)
	}
}

// A client looks up the watched name, perhaps in another case, or one that hosts publish in lower case only.
func TestStaleMatchesNamesLikeWatch(t *testing.T) {
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
			cluster.cache.replace(time.Now(), 0, keys)
			if got := cluster.Stale(c.lookup); len(got) != 0 {
				t.Errorf("%v is stale, and all live", got)
			}
			cluster.cache.replace(time.Now(), 0, map[string]node{"services/arith/b:1": keys["services/arith/b:1"]})
			if got := cluster.Stale(c.lookup); !slices.Equal(got, []string{"a:1", "c:1"}) {
				t.Errorf("%v", got)
			}
			if got := cluster.Stale("Other"); len(got) != 0 {
				t.Errorf("%v of another service", got)
			}
		})
	}
}
