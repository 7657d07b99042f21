package etcdtest_test

import (
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/easymicro/easymicro/host/discovery/etcd"
	"github.com/easymicro/easymicro/host/discovery/etcd/etcdtest"
)

func TestUserAndPassword(t *testing.T) {
	t.Parallel()
	s := etcdtest.Start(t, etcdtest.Config(func(cfg *embed.Config) { cfg.AuthTokenTTL = 1 })) // seconds, so that tokens expire all the time
	s.EnableAuth("orders", "secret")
	c := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, Username: "orders", Password: "secret", LeaseTTL: 2 * time.Second})
	c.Publish([]etcd.Instance{instance("Arith", addresses[0])})
	w := watch(t, c, "Arith")
	w.want(addresses[0])
	w.keeps()

	time.Sleep(3 * time.Second) // the token is not used meanwhile
	c.Publish([]etcd.Instance{instance("Arith", addresses[0]), instance("Arith", addresses[1])})
	w.want(addresses[0], addresses[1])

	s.Restart(false) // all tokens are lost
	within(t, backAfter, "coming back", func() bool { return c.Ping(t.Context()) == nil })
	s.Put("services/arith/10.0.0.3:8972", "")
	w.want(addresses...)
	registered(t, c)

	wrong := cluster(t, etcd.Options{Name: "wrong", Endpoints: []string{s.URL()}, Username: "orders", Password: "guess"})
	if err := wrong.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "etcd wrong") || strings.Contains(err.Error(), "guess") {
		t.Errorf("a wrong password: %v", err)
	}
}

func TestAHostStartsWithoutEtcdAndAuthenticatesLater(t *testing.T) {
	t.Parallel()
	s := etcdtest.Start(t)
	s.EnableAuth("orders", "secret")
	s.Stop()
	c := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, Username: "orders", Password: "secret"})
	c.Publish([]etcd.Instance{instance("Arith", addresses[0])})
	w := watch(t, c, "Arith")
	eventually(t, w.changed, func() bool { return w.failed() != nil }, func() any { return nil })
	t.Log(w.failed())
	s.Restart(false)
	within(t, backAfter, "joining", func() bool { return c.Status().Registered })
	w.want(addresses[0])
}

func TestTLSWithClientCertificate(t *testing.T) {
	t.Parallel()
	option, config := etcdtest.TLS(t)
	s := etcdtest.Start(t, option)
	c := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, TLS: config})
	c.Publish([]etcd.Instance{instance("Arith", addresses[0])})
	watch(t, c, "Arith").want(addresses[0])

	anonymous := config.Clone()
	anonymous.RootCAs = nil
	stranger := cluster(t, etcd.Options{Endpoints: []string{s.URL()}, TLS: anonymous})
	var err error
	eventually(t, nil, func() bool {
		err = stranger.Ping(t.Context())
		return err != nil && strings.Contains(err.Error(), "certificate") // and not a timeout
	}, func() any { return err })
}
