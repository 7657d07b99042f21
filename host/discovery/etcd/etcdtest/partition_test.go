package etcdtest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/discovery/etcd"
	"github.com/easymicro/easymicro/host/discovery/etcd/etcdtest"
)

// noticedAfter bounds the time until the status shows a partition: 3.3 s to the next health check, 2 s for its answer, half
// a second of spread, and 3 s for a list that fails.
const noticedAfter = 10 * time.Second

// lonely starts a host with its own proxy to etcd, and another one without.
func lonely(t *testing.T, ttl time.Duration) (s *etcdtest.Server, p *etcdtest.Proxied, host *etcd.Cluster, seen *watched) {
	t.Helper()
	s = etcdtest.Start(t)
	p = etcdtest.Proxy(t, s.Address())
	for i, url := range []string{p.URL(), s.URL()} {
		c := cluster(t, etcd.Options{Endpoints: []string{url}, LeaseTTL: ttl})
		c.Publish([]etcd.Instance{instance("Arith", addresses[i])})
		registered(t, c)
		if i == 0 {
			host = c
		}
	}
	seen = watch(t, host, "Arith")
	seen.want(addresses[:2]...)
	seen.keeps()
	return s, p, host, seen
}

// there waits until the host is in etcd again and sees others.
func there(t *testing.T, s *etcdtest.Server, host *etcd.Cluster, seen *watched) {
	t.Helper()
	within(t, backAfter, "coming back", func() bool {
		_, ok := s.Keys()["services/arith/"+addresses[0]]
		return ok && host.Status().Registered && host.Status().Connected
	})
	s.Put("services/arith/"+addresses[2], "")
	within(t, backAfter, "hearing of others", func() bool { return len(seen.addresses()) == 3 })
}

// takesLong marks a test that waits in real time.
func takesLong(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes as long as what it waits for")
	}
	t.Parallel()
}

// A network that drops everything does not close connections: the silence must be detected.
func TestASilentPartitionIsDetectedAndSurvived(t *testing.T) {
	takesLong(t)
	for name, part := range map[string]func(*etcdtest.Proxied){"bytes are late": (*etcdtest.Proxied).Mute, "bytes are lost": (*etcdtest.Proxied).Swallow} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p, host, seen := lonely(t, 2*time.Second)
			part(p)
			within(t, noticedAfter, "noticing", func() bool {
				now := host.Status()
				return !now.Registered && !now.Connected && seen.failed() != nil
			})
			if text := seen.failed().Error(); !strings.Contains(text, p.URL()) {
				t.Errorf("the error does not name the silent member: %s", text)
			}
			p.Heal()
			there(t, s, host, seen)
		})
	}
}

// The network may recover at any point of an attempt to connect.
func TestAHostRecoversFromAPartitionOfAnyLength(t *testing.T) {
	takesLong(t)
	for _, lost := range []bool{false, true} {
		for _, length := range []time.Duration{3 * time.Second, 4500 * time.Millisecond, 6 * time.Second, 9 * time.Second, outage(t)} {
			t.Run(map[bool]string{false: "late ", true: "lost "}[lost]+length.String(), func(t *testing.T) {
				t.Parallel()
				s, p, host, seen := lonely(t, 2*time.Second)
				if lost {
					p.Swallow()
				} else {
					p.Mute()
				}
				time.Sleep(length)
				p.Heal()
				there(t, s, host, seen)
			})
		}
	}
}

func TestAShortSilenceCostsNoLease(t *testing.T) {
	takesLong(t)
	s, p, host, seen := lonely(t, 10*time.Second)
	lease := host.Status().Lease
	p.Mute()
	time.Sleep(3 * time.Second)
	p.Heal()
	there(t, s, host, seen)
	if now := host.Status(); now.Lease != lease || !now.Registered {
		t.Errorf("lease %s before and %s after", lease, now.Lease)
	}
}

// etcd closes the connections of clients that ping too often, or without a call in progress. The number of connections does
// not show that: gRPC pings half as often from then on, and a busy machine may lose a connection, too.
func TestEtcdToleratesTheRateOfPings(t *testing.T) {
	takesLong(t)
	s := etcdtest.Start(t)
	var ways []*etcdtest.Proxied
	for _, use := range []func(*etcd.Cluster){
		func(c *etcd.Cluster) { _ = c.Ping(t.Context()) },
		func(c *etcd.Cluster) { watch(t, c, "Arith").want() },
		func(c *etcd.Cluster) { c.Publish([]etcd.Instance{instance("Echo", addresses[0])}); registered(t, c) },
	} {
		p := etcdtest.Proxy(t, s.Address())
		use(cluster(t, etcd.Options{Endpoints: []string{p.URL()}}))
		ways = append(ways, p)
	}
	time.Sleep(time.Minute) // a ping every 10 s, of which etcd tolerates three
	for i, p := range ways {
		if n := p.TooManyPings(); n > 0 {
			t.Errorf("use %d: %d connections closed for too many pings", i, n)
		}
	}
}
