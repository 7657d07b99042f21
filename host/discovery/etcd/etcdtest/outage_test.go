package etcdtest_test

import (
	"os"
	"sync"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/discovery/etcd"
	"github.com/easymicro/easymicro/host/discovery/etcd/etcdtest"
)

// backAfter bounds the time from the return of etcd until a host is registered.
const backAfter = 5 * time.Second

// outage is how long etcd is unreachable: longer than the TTL of a lease.
func outage(t *testing.T) time.Duration {
	t.Helper()
	switch os.Getenv("TEST_EASYMICRO_LONG") {
	case "":
		return 3 * time.Second
	case "10m":
		return 10 * time.Minute
	default:
		return time.Minute
	}
}

// fleet holds hosts that publish Arith and one that watches it.
type fleet struct {
	hosts  []*etcd.Cluster
	keys   []string
	caller *etcd.Cluster
	seen   *watched
	events *registrations
}

// registrations records the calls of OnRegistered.
type registrations struct {
	mu  sync.Mutex
	ups []bool
}

func (r *registrations) tell(up bool, _ error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ups = append(r.ups, up)
}

func (r *registrations) list() []bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]bool(nil), r.ups...)
}

var addresses = []string{"10.0.0.1:8972", "10.0.0.2:8972", "10.0.0.3:8972"}

// deploy starts hosts that reach etcd at url, and a caller.
func deploy(t *testing.T, url string, ttl time.Duration) *fleet {
	t.Helper()
	f := &fleet{events: &registrations{}}
	for i, address := range addresses {
		o := etcd.Options{Endpoints: []string{url}, LeaseTTL: ttl}
		if i == 0 {
			o.OnRegistered = f.events.tell
		}
		c := cluster(t, o)
		c.Publish([]etcd.Instance{instance("Arith", address)})
		f.hosts = append(f.hosts, c)
		f.keys = append(f.keys, "services/arith/"+address)
	}
	for _, c := range f.hosts {
		registered(t, c)
	}
	f.caller = cluster(t, etcd.Options{Endpoints: []string{url}, LeaseTTL: ttl})
	f.seen = watch(t, f.caller, "Arith")
	f.seen.want(addresses...)
	f.seen.keeps()
	return f
}

// back waits until all hosts are in etcd again, in time.
func (f *fleet) back(t *testing.T, s *etcdtest.Server) {
	t.Helper()
	within(t, backAfter, "coming back", func() bool {
		there := s.Keys()
		for _, key := range f.keys {
			if _, ok := there[key]; !ok {
				return false
			}
		}
		return true
	})
	for _, c := range f.hosts {
		registered(t, c)
	}
	f.seen.want(addresses...)
	eventually(t, nil, func() bool { return f.seen.failed() == nil }, func() any { return f.seen.failed() })
	s.Put("services/arith/10.0.0.9:1", "")
	f.seen.want(append(append([]string(nil), addresses...), "10.0.0.9:1")...) // it still gets updates
}

func TestHostsRegisterAgainWhateverHappensToEtcd(t *testing.T) {
	for name, happen := range map[string]func(t *testing.T, s *etcdtest.Server, p *etcdtest.Proxied){
		"killed for longer than a lease and restarted empty": func(t *testing.T, s *etcdtest.Server, _ *etcdtest.Proxied) {
			s.Stop()
			time.Sleep(outage(t))
			s.Restart(true)
		},
		"restarted empty at once": func(_ *testing.T, s *etcdtest.Server, _ *etcdtest.Proxied) { s.Restart(true) },
		"killed for longer than a lease and restarted": func(t *testing.T, s *etcdtest.Server, _ *etcdtest.Proxied) {
			s.Stop()
			time.Sleep(outage(t))
			s.Restart(false)
		},
		"restarted at once": func(_ *testing.T, s *etcdtest.Server, _ *etcdtest.Proxied) { s.Restart(false) },
		"restarted empty and already at a later revision": func(_ *testing.T, s *etcdtest.Server, p *etcdtest.Proxied) {
			p.Cut()
			s.Restart(true)
			for range 50 {
				s.Put("noise", "x")
			}
			p.Heal()
		},
		"cut off for longer than a lease, and compacted meanwhile": func(t *testing.T, s *etcdtest.Server, p *etcdtest.Proxied) {
			p.Cut()
			time.Sleep(outage(t))
			s.Compact()
			p.Heal()
		},
		"compacted while it is watched": func(_ *testing.T, s *etcdtest.Server, _ *etcdtest.Proxied) { s.Compact() },
		"all keys wiped":                func(_ *testing.T, s *etcdtest.Server, _ *etcdtest.Proxied) { s.Wipe() },
		"all leases revoked":            func(_ *testing.T, s *etcdtest.Server, _ *etcdtest.Proxied) { s.RevokeLeases() },
		"one key deleted": func(_ *testing.T, s *etcdtest.Server, _ *etcdtest.Proxied) {
			s.Delete("services/arith/" + addresses[0])
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := etcdtest.Start(t)
			p := etcdtest.Proxy(t, s.Address())
			f := deploy(t, p.URL(), 2*time.Second)
			happen(t, s, p)
			f.back(t, s)
			eventually(t, nil, func() bool { ups := f.events.list(); return ups[len(ups)-1] }, func() any { return f.events.list() })
		})
	}
}

func TestEndpointsAreKeptWhileEtcdIsUnreachable(t *testing.T) {
	t.Parallel()
	s := etcdtest.Start(t)
	f := deploy(t, s.URL(), 2*time.Second)
	s.Stop()
	eventually(t, nil, func() bool { return !f.caller.Status().Connected && !f.hosts[0].Status().Registered },
		func() any { return f.caller.Status() })
	late := watch(t, f.caller, "Arith") // a new watch gets the known endpoints
	late.want(addresses...)
	eventually(t, late.changed, func() bool { return late.failed() != nil }, func() any { return nil })
	t.Log(late.failed())
	if got := f.caller.Status(); got.Err == "" || len(got.Services["Arith"]) != len(addresses) {
		t.Errorf("status %+v", got)
	}
}

func TestDropUnknownDropsEndpointsWhileEtcdIsUnreachable(t *testing.T) {
	t.Parallel()
	s := etcdtest.Start(t)
	s.Put("services/arith/10.0.0.1:8972", "")
	c := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, DropUnknown: true})
	w := watch(t, c, "Arith")
	w.want("10.0.0.1:8972")
	s.Stop()
	w.want()
	s.Restart(false)
	w.want("10.0.0.1:8972")
}

func TestADeadEtcdDoesNotBlock(t *testing.T) {
	t.Parallel()
	s := etcdtest.Start(t)
	s.Stop()
	var events registrations
	c := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, OnRegistered: events.tell})
	c.Publish([]etcd.Instance{instance("Arith", addresses[0])})
	w := watch(t, c, "Arith")
	eventually(t, w.changed, func() bool { return w.failed() != nil && len(events.list()) > 0 }, func() any { return w.failed() })
	t.Log(w.failed())
	if ups := events.list(); len(ups) != 1 || ups[0] {
		t.Errorf("OnRegistered got %v, want one false", ups)
	}
	s.Restart(false)
	within(t, backAfter, "joining", func() bool { return c.Status().Registered })
	w.want(addresses[0])
}
