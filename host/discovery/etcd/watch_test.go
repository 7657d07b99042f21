package etcd

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire/client"
)

// A host that was killed and started again has the key that it had: only its revision tells. Clients dial it at once
// when they hear of it.
func TestEndpointsThatAreRegisteredAgainAreToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{Endpoints: []string{"http://a:1"}})
		if err != nil {
			t.Fatal(err)
		}
		c.following = true // nobody reads an etcd
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
			c.table.edit(time.Now(), 0, map[string]*node{"services/arith/a:1": &n})
		}
		list := func(keys map[string]node) { c.table.replace(time.Now(), 0, keys) }
		list(put(1))
		told := make(chan []client.Endpoint, 10)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			_ = c.Watch(ctx, "Arith", func(list []client.Endpoint, _ error) { told <- list })
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
				c.table.edit(time.Now(), 0, map[string]*node{"services/other/b:1": {service: "Other", lower: "other", revision: 5}})
			}, 0},
		} {
			step.do()
			synctest.Wait()
			if got := len(told); got != step.want {
				t.Errorf("%s: told %d times, want %d", step.name, got, step.want)
			}
			for len(told) > 0 {
				if list := <-told; len(list) != 1 || list[0].Address != "a:1" {
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

// Two layouts have one endpoint, whose keys are put one after the other.
func TestTheRevisionOfAnEndpointIsThatOfItsLastKey(t *testing.T) {
	a, b := node{revision: 7, layouts: []string{"rpcx"}}, node{revision: 3, layouts: []string{"easymicro"}}
	a.Address, b.Address = "a:1", "a:1"
	if one, two := a.merged(b).revision, b.merged(a).revision; one != 7 || two != 7 {
		t.Errorf("%d and %d, want 7", one, two)
	}
}
