package etcdtest_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/easymicro/easymicro/host/discovery/etcd"
	"github.com/easymicro/easymicro/host/discovery/etcd/etcdtest"
	"github.com/easymicro/easymicro/wire/client"
)

func TestKeysOfOtherProgramsAreFound(t *testing.T) {
	t.Parallel()
	s := etcdtest.Start(t)
	for key, value := range map[string]string{
		"services/arith/10.0.0.1:8972": `{"Name":"arith","Addr":"10.0.0.1:8972","Network":"tcp"}`, // the original easymicro
		"services/arith/10.0.0.2:8972": "",
		"services/arith/10.0.0.3:8972": "no JSON",
		"services/arith/10.0.0.4:8972": `{"Addr":"nowhere"}`,
		"services/arith/nowhere":       "",
		"services/arith":               "",
		"services//":                   "\xff\xfe",
		"services/arith/10.0.0.5:0":    "",
		"rpcx":                         "rpcx_path",
		"rpcx/Arith":                   "Arith",
		"rpcx/Arith/tcp@10.0.0.6:8972": "weight=3&group=blue",
		"rpcx/Arith/tcp@10.0.0.7:8972": "state=inactive",
		"rpcx/Arith/quic@10.0.0.8:897": "",
		"rpcx/Arith/tcp@10.0.0.9:8972": "%zz&weight=7",
		"rpcx/Arith/tcp@":              "",
		"rpcx//tcp@10.0.0.10:8972":     "",
	} {
		s.Put(key, value)
	}
	c := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, Layouts: []string{"easymicro", "rpcx"}})
	w := watch(t, c, "Arith")
	w.want("10.0.0.1:8972", "10.0.0.2:8972", "10.0.0.3:8972", "10.0.0.4:8972", "10.0.0.6:8972", "10.0.0.9:8972")
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.list[4]; e.Weight != 3 || e.Metadata["group"] != "blue" {
		t.Errorf("rpcx metadata: %+v", e)
	}
	if e := w.list[5]; e.Weight != 7 {
		t.Errorf("what can be understood of a query: %+v", e)
	}
}

func TestServicesAppearAndDisappear(t *testing.T) {
	t.Parallel()
	s := etcdtest.Start(t)
	c := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, MinHealthy: -1})
	var mu sync.Mutex
	var names []string
	news := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		_ = c.WatchServices(ctx, func(list []string, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			names = list
			select {
			case news <- struct{}{}:
			default:
			}
		})
	})
	defer func() { cancel(); running.Wait() }()
	want := func(list ...string) {
		t.Helper()
		eventually(t, news, func() bool { mu.Lock(); defer mu.Unlock(); return slices.Equal(names, list) }, func() any { return names })
	}
	host := cluster(t, etcd.Options{Endpoints: []string{s.URL()}})
	host.Publish([]etcd.Instance{instance("Arith", addresses[0]), instance("Echo", addresses[0])})
	want("Arith", "Echo")
	host.Publish([]etcd.Instance{instance("Echo", addresses[0]), instance("Time", addresses[0])})
	want("Echo", "Time")
	if err := host.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	want()
}

// An operator of rpcx takes a node out of service by writing its key, which detaches the key from our lease.
func TestWhatAnOperatorWroteIsNotOverwritten(t *testing.T) {
	t.Parallel()
	s := etcdtest.Start(t)
	c := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, Layouts: []string{"rpcx"}})
	both := []etcd.Instance{instance("Arith", addresses[0]), instance("Arith", addresses[1])}
	c.Publish(both)
	w := watch(t, c, "Arith")
	w.want(addresses[0], addresses[1])
	key := "rpcx/Arith/tcp@" + addresses[0]
	s.Put(key, "state=inactive")
	w.want(addresses[1])
	for what, happen := range map[string]func(){ // each makes it check its keys
		"key deleted":         func() { s.Delete("rpcx/Arith/tcp@" + addresses[1]) },
		"lease revoked":       func() { s.RevokeLeases() },
		"published once more": func() { c.Publish(both); s.Delete("rpcx/Arith/tcp@" + addresses[1]) },
	} {
		happen()
		eventually(t, nil, func() bool { _, ok := s.Keys()["rpcx/Arith/tcp@"+addresses[1]]; return ok }, func() any { return s.Keys() })
		registered(t, c)
		if got := s.Keys()[key]; got != "state=inactive" {
			t.Errorf("%s: %s = %q", what, key, got)
		}
	}
	if err := c.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.Keys(); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

// A key of a host that another program overwrites misdirects callers and outlives the host.
func TestAnOverwrittenKeyIsRestored(t *testing.T) {
	t.Parallel()
	s := etcdtest.Start(t)
	c := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, Layouts: []string{"easymicro", "rpcx"}})
	c.Publish([]etcd.Instance{instance("Arith", addresses[0])})
	w := watch(t, c, "Arith")
	w.want(addresses[0])
	registered(t, c)
	before := s.Keys()
	for _, key := range []string{"services/arith/" + addresses[0], "rpcx/Arith/tcp@" + addresses[0]} {
		for _, value := range []string{
			`{"Name":"arith","Addr":"10.9.9.9:1","Network":"tcp"}`, `{"Name":"other","Addr":"` + addresses[0] + `"}`, "group=other&weight=7", "rubbish", "",
		} {
			s.Put(key, value)
			eventually(t, nil, func() bool {
				r, err := s.Client().Get(t.Context(), key)
				return err == nil && len(r.Kvs) == 1 && string(r.Kvs[0].Value) == before[key] && fmt.Sprintf("%x", r.Kvs[0].Lease) == c.Status().Lease
			}, func() any { return fmt.Sprint(key, " ", value, " ", s.Keys()) })
		}
	}
	w.want(addresses[0])
	if err := c.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.Keys(); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

func TestOfTwoHostsWithOneAddressTheLastOneWins(t *testing.T) {
	t.Parallel()
	s := etcdtest.Start(t)
	key := "services/arith/" + addresses[0]
	lease := func() clientv3.LeaseID {
		r, err := s.Client().Get(t.Context(), key)
		if err != nil || len(r.Kvs) != 1 {
			t.Fatalf("%v %v", r, err)
		}
		return clientv3.LeaseID(r.Kvs[0].Lease)
	}
	earlier, later := cluster(t, etcd.Options{Endpoints: []string{s.URL()}}), cluster(t, etcd.Options{Endpoints: []string{s.URL()}})
	earlier.Publish([]etcd.Instance{instance("Arith", addresses[0])})
	registered(t, earlier)
	later.Publish([]etcd.Instance{instance("Arith", addresses[0])})
	registered(t, later)
	if got := fmt.Sprintf("%x", lease()); got != later.Status().Lease {
		t.Errorf("lease %s, want %s", got, later.Status().Lease)
	}
	if err := earlier.Withdraw(t.Context()); err != nil { // as in a handover to a new process
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%x", lease()); got != later.Status().Lease {
		t.Errorf("lease %s after the earlier one withdrew, want %s", got, later.Status().Lease)
	}
}

func TestACollapsingListIsKept(t *testing.T) {
	t.Parallel()
	s := etcdtest.Start(t)
	var all []string
	for i := range 10 {
		all = append(all, fmt.Sprintf("10.0.0.%d:8972", i+1))
		s.Put("services/arith/"+all[i], "")
	}
	slices.Sort(all)
	c := cluster(t, etcd.Options{Endpoints: []string{s.URL()}})
	w := watch(t, c, "Arith")
	w.want(all...)
	s.Delete("services/arith/" + all[9]) // one of ten may well be dead
	w.want(all[:9]...)
	s.Wipe()
	s.Put("services/arith/10.0.0.99:8972", "")
	all = append(all, "10.0.0.99:8972")
	slices.Sort(all)
	w.want(all...) // while few are live, recently lost ones count
	stale := 0
	for _, e := range c.Status().Services["arith"] {
		if e.State == etcd.StateStale {
			stale++
		}
	}
	if stale != 10 {
		t.Errorf("%d stale endpoints in the status, want 10", stale)
	}
}

func TestAThousandEndpointsComeAndGo(t *testing.T) {
	t.Parallel()
	const hosts, services = 1000, 4
	s := etcdtest.Start(t)
	c := cluster(t, etcd.Options{Endpoints: []string{s.URL()}})
	cl := s.Client()
	key := func(i int) string { return fmt.Sprintf("services/s%d/10.1.%d.%d:8972", i%services, i/250, i%250) }
	write := func(op func(key string) clientv3.Op, step int) {
		t.Helper()
		var ops []clientv3.Op
		for i := 0; i < hosts; i += step {
			ops = append(ops, op(key(i)))
		}
		for some := range slices.Chunk(ops, 100) {
			if _, err := cl.Txn(t.Context()).Then(some...).Commit(); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(func(key string) clientv3.Op { return clientv3.OpPut(key, "") }, 1)
	var watches []*watched
	for i := range services {
		watches = append(watches, watch(t, c, fmt.Sprint("s", i)))
	}
	count := func(w *watched, n int) {
		t.Helper()
		eventually(t, w.changed, func() bool { return len(w.addresses()) == n }, func() any { return len(w.addresses()) })
	}
	for _, w := range watches {
		count(w, hosts/services)
	}
	start := time.Now()
	for range 5 {
		write(func(key string) clientv3.Op { return clientv3.OpDelete(key) }, 20)
		write(func(key string) clientv3.Op { return clientv3.OpPut(key, "") }, 20)
		write(func(key string) clientv3.Op { return clientv3.OpDelete(key) }, 7)
		write(func(key string) clientv3.Op { return clientv3.OpPut(key, "") }, 7)
	}
	for _, w := range watches {
		count(w, hosts/services)
	}
	t.Logf("churn took %v", time.Since(start).Round(time.Millisecond))
}

func TestCloseLeavesNothingRunning(t *testing.T) {
	s := etcdtest.Start(t)
	for _, away := range []bool{false, true} {
		c, err := etcd.New(etcd.Options{Endpoints: []string{s.URL()}})
		if err != nil {
			t.Fatal(err)
		}
		c.Publish([]etcd.Instance{instance("Arith", addresses[0])})
		registered(t, c)
		ended := make(chan error, 1)
		go func() { ended <- c.Watch(context.Background(), "Arith", func([]client.Endpoint, error) {}) }()
		if away {
			s.Stop()
		}
		for range 2 {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("a watch of what is closed: %v", err)
		}
		eventually(t, nil, func() bool { return running() == "" }, func() any { return running() })
		c.Publish([]etcd.Instance{instance("Arith", addresses[0])}) // has no effect
		if err := c.Withdraw(t.Context()); err == nil {
			t.Error("Withdraw succeeded after Close")
		}
	}
}

// running matches the stack of a goroutine of ours or of the etcd client.
func running() string {
	buffer := make([]byte, 1<<20)
	for _, stack := range strings.Split(string(buffer[:runtime.Stack(buffer, true)]), "\n\n") {
		if strings.Contains(stack, "discovery/etcd.(") || strings.Contains(stack, "etcd/client/v3.(") {
			return stack
		}
	}
	return ""
}
