package etcdtest_test

import (
	"maps"
	"slices"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/easymicro/easymicro/host/discovery/etcd"
	"github.com/easymicro/easymicro/host/discovery/etcd/etcdtest"
)

var bothLayouts = []string{"easymicro", "rpcx"}

// A list that collapses is kept for half a minute, unless its hosts wrote tombstones.
func TestAWithdrawnEndpointIsDroppedAtOnce(t *testing.T) {
	t.Parallel()
	for name, layouts := range map[string][]string{"easymicro": {"easymicro"}, "rpcx": {"rpcx"}, "both": bothLayouts} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := etcdtest.Start(t)
			host := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, Layouts: layouts})
			host.Publish([]etcd.Instance{instance("Arith", addresses[0]), instance("Echo", addresses[0])})
			caller := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, Layouts: layouts})
			arith, echo := watch(t, caller, "Arith"), watch(t, caller, "Echo")
			arith.want(addresses[0])
			echo.want(addresses[0])

			host.Publish([]etcd.Instance{instance("Echo", addresses[0])}) // one service fewer
			within(t, backAfter, "forgetting a service", func() bool { return len(arith.addresses()) == 0 })
			echo.want(addresses[0])
			host.Publish([]etcd.Instance{instance("Echo", addresses[1])}) // at another address
			within(t, backAfter, "moving", func() bool { return slices.Equal(echo.addresses(), addresses[1:2]) })
			if err := host.Withdraw(t.Context()); err != nil {
				t.Fatal(err)
			}
			within(t, backAfter, "forgetting a host", func() bool { return len(echo.addresses()) == 0 })
			if got := s.Keys(); len(got) != 0 {
				t.Errorf("left behind: %v", got)
			}
			if got := caller.Status().Services; len(got) != 0 {
				t.Errorf("still known: %v", got)
			}
			host.Publish([]etcd.Instance{instance("Arith", addresses[0])})
			arith.want(addresses[0])
		})
	}
}

func TestADeadHostsEndpointIsKeptForAWhile(t *testing.T) {
	t.Parallel()
	s := etcdtest.Start(t)
	host := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, Layouts: bothLayouts})
	host.Publish([]etcd.Instance{instance("Arith", addresses[0])})
	caller := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, Layouts: bothLayouts})
	w := watch(t, caller, "Arith")
	w.want(addresses[0])
	if err := host.Close(); err != nil {
		t.Fatal(err)
	}
	s.RevokeLeases()
	eventually(t, nil, func() bool {
		found := caller.Status().Services["Arith"]
		return len(found) == 1 && found[0].State == etcd.StateStale
	}, func() any { return caller.Status().Services })
	w.want(addresses[0])
}

// Clients of rpcx avoid an inactive node; the original easymicro reads three fields and ignores the others.
func TestTombstonesAreUnderstoodByOtherClients(t *testing.T) {
	t.Parallel()
	s := etcdtest.Start(t)
	heard := s.Client().Watch(t.Context(), "", clientv3.WithPrefix(), clientv3.WithFilterDelete(), clientv3.WithCreatedNotify())
	<-heard
	host := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, Layouts: bothLayouts})
	i := instance("Arith", addresses[0])
	i.Metadata, i.Version = map[string]string{"group": "blue"}, "v1"
	host.Publish([]etcd.Instance{i})
	registered(t, host)
	if err := host.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	last, want := map[string]string{}, map[string]string{
		"services/arith/10.0.0.1:8972": `{"Name":"arith","Addr":"10.0.0.1:8972","Network":"tcp","Service":"Arith","Metadata":{"group":"blue"},"Version":"v1","Leaving":true}`,
		"rpcx/Arith/tcp@10.0.0.1:8972": "group=blue&state=inactive&x-em-leaving=1",
		"rpcx":                         "rpcx_path", // markers are not endpoints
		"rpcx/Arith":                   "Arith",
	}
	eventually(t, nil, func() bool {
		select {
		case r := <-heard:
			for _, e := range r.Events {
				last[string(e.Kv.Key)] = string(e.Kv.Value)
			}
		default:
		}
		return maps.Equal(last, want)
	}, func() any { return last })
}

// The previous owner of a key does not write a tombstone over its new owner's, and a host that gives up one layout stays in
// the other.
func TestATombstoneAffectsOnlyItsOwnKey(t *testing.T) {
	t.Parallel()
	s := etcdtest.Start(t)
	caller := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, Layouts: bothLayouts})
	earlier := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, Layouts: bothLayouts})
	earlier.Publish([]etcd.Instance{instance("Arith", addresses[0])})
	registered(t, earlier)
	w := watch(t, caller, "Arith")
	w.want(addresses[0])
	w.mu.Lock()
	w.steady = 1
	w.mu.Unlock()
	later := cluster(t, etcd.Options{Endpoints: []string{s.URL()}}) // without rpcx, by a change of the manifest
	later.Publish([]etcd.Instance{instance("Arith", addresses[0])})
	registered(t, later)
	if err := earlier.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, nil, func() bool {
		found := caller.Status().Services["Arith"]
		return len(found) == 1 && slices.Equal(found[0].Layouts, []string{"easymicro"})
	}, func() any { return caller.Status().Services })
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.lost) > 0 {
		t.Errorf("it was lost meanwhile: %v", w.lost)
	}
}

// A caller that was disconnected gets the missed changes afterwards, in order and with tombstones.
func TestATombstoneIsSeenAfterAnOutage(t *testing.T) {
	t.Parallel()
	s := etcdtest.Start(t)
	p := etcdtest.Proxy(t, s.Address())
	host := cluster(t, etcd.Options{Endpoints: []string{s.URL()}})
	host.Publish([]etcd.Instance{instance("Arith", addresses[0])})
	registered(t, host)
	s.Put("services/echo/"+addresses[1], "")
	caller := cluster(t, etcd.Options{Endpoints: []string{p.URL()}})
	arith, echo := watch(t, caller, "Arith"), watch(t, caller, "echo")
	arith.want(addresses[0])
	echo.want(addresses[1])
	p.Cut()
	eventually(t, nil, func() bool { return arith.failed() != nil }, func() any { return nil })
	if err := host.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Delete("services/echo/" + addresses[1]) // without a tombstone
	p.Heal()
	within(t, backAfter, "hearing of it", func() bool { return len(arith.addresses()) == 0 && arith.failed() == nil })
	echo.want(addresses[1])
	if found := caller.Status().Services["echo"]; len(found) != 1 || found[0].State != etcd.StateStale {
		t.Errorf("what was deleted in silence: %+v", found)
	}
}

// Publishing what is being withdrawn restores it, whatever has been written meanwhile.
func TestAServicePublishedAgainReturns(t *testing.T) {
	t.Parallel()
	s := etcdtest.Start(t)
	p := etcdtest.Proxy(t, s.Address())
	host := cluster(t, etcd.Options{Endpoints: []string{p.URL()}, Layouts: bothLayouts})
	w := watch(t, cluster(t, etcd.Options{Endpoints: []string{s.URL()}, Layouts: bothLayouts}), "Arith")
	both := []etcd.Instance{instance("Arith", addresses[0]), instance("Arith", addresses[1])}
	host.Publish(both)
	w.want(addresses[:2]...)
	for range 20 {
		host.Publish(both[:1])
		host.Publish(both)
		host.Publish(nil)
		host.Publish(both)
	}
	w.want(addresses[:2]...)
	registered(t, host)
	host.Publish(both[:1])
	w.want(addresses[0])
	p.Cut()
	host.Publish(both)
	p.Heal()
	w.want(addresses[:2]...)
}
