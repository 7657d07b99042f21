// Package etcdtest runs a real etcd for tests, and can stop it, restart it with an empty data directory, compact it, wipe
// it and cut its connections.
package etcdtest

import (
	"context"
	"crypto/tls"
	"net/url"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/easymicro/easymicro/wire/wiretest"
)

// Option configures Start.
type Option func(*Server)

// Config changes the configuration of etcd.
func Config(change func(*embed.Config)) Option {
	return func(s *Server) { s.options = append(s.options, change) }
}

// Server is an etcd on a loopback port that stays the same across restarts. Its methods must be called from one goroutine;
// they end the test if they fail.
type Server struct {
	t       testing.TB
	front   *Proxied // lets Stop break connections at once, without etcd's GOAWAY
	address string   // behind it
	peer    string
	dir     string
	life    int // number of data directories used so far
	options []func(*embed.Config)
	scheme  string
	tls     *tls.Config // of clients
	user    string      // of clients, and password
	secret  string
	etcd    *embed.Etcd
}

const patience = 30 * time.Second

// Start starts an etcd, which is stopped when the test ends.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	s := &Server{t: t, address: wiretest.Address(t), peer: wiretest.Address(t), dir: t.TempDir(), scheme: "http"}
	for _, o := range options {
		o(s)
	}
	s.front = Proxy(t, s.address)
	s.start()
	t.Cleanup(s.Stop)
	return s
}

// URL returns the URL of the server.
func (s *Server) URL() string { return s.scheme + "://" + s.Address() }

// Address returns the host:port of URL.
func (s *Server) Address() string { return s.front.Address() }

// Stop ends etcd as if it had been killed: connections break. A second Stop does nothing.
func (s *Server) Stop() {
	if s.etcd == nil {
		return
	}
	s.front.Cut()
	s.etcd.Close()
	s.etcd = nil
}

// Restart stops etcd and starts it again on the same address, with its data or with an empty data directory: then it has
// the same cluster ID and counts revisions from 1, as an operator's etcd would.
func (s *Server) Restart(empty bool) {
	s.t.Helper()
	s.Stop()
	if empty {
		s.life++
	}
	s.start()
}

func (s *Server) start() {
	s.t.Helper()
	cfg := embed.NewConfig()
	cfg.Dir = filepath.Join(s.dir, strconv.Itoa(s.life))
	client, peer := url.URL{Scheme: s.scheme, Host: s.address}, url.URL{Scheme: "http", Host: s.peer}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	cfg.UnsafeNoFsync = true
	cfg.BcryptCost = 4 // the minimum
	cfg.TickMs, cfg.ElectionMs = 20, 200
	for _, o := range s.options {
		o(cfg)
	}
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		s.t.Fatalf("start etcd: %v", err)
	}
	s.etcd = e
	select {
	case <-e.Server.ReadyNotify():
	case err := <-e.Err():
		s.t.Fatalf("start etcd: %v", err)
	case <-time.After(patience):
		s.t.Fatal("etcd did not start in time")
	}
	s.front.Heal()
}

func (s *Server) config() clientv3.Config {
	return clientv3.Config{
		Endpoints: []string{s.URL()}, TLS: s.tls, Username: s.user, Password: s.secret, DialTimeout: patience, Logger: zap.NewNop(),
	}
}

// Client returns a client that is closed when the test ends.
func (s *Server) Client() *clientv3.Client {
	s.t.Helper()
	cl, err := clientv3.New(s.config())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = cl.Close() })
	return cl
}

// do calls f with a new client and a deadline.
func (s *Server) do(what string, f func(context.Context, *clientv3.Client) error) {
	s.t.Helper()
	cl, err := clientv3.New(s.config())
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = cl.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := f(ctx, cl); err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
}

// Put writes a key without a lease.
func (s *Server) Put(key, value string) {
	s.t.Helper()
	s.do("put "+key, func(ctx context.Context, cl *clientv3.Client) error {
		_, err := cl.Put(ctx, key, value)
		return err
	})
}

// Delete deletes one key.
func (s *Server) Delete(key string) {
	s.t.Helper()
	s.do("delete "+key, func(ctx context.Context, cl *clientv3.Client) error {
		_, err := cl.Delete(ctx, key)
		return err
	})
}

// Wipe deletes all keys.
func (s *Server) Wipe() {
	s.t.Helper()
	s.do("wipe", func(ctx context.Context, cl *clientv3.Client) error {
		_, err := cl.Delete(ctx, "", clientv3.WithPrefix())
		return err
	})
}

// Keys returns all keys with their values.
func (s *Server) Keys() map[string]string {
	s.t.Helper()
	keys := map[string]string{}
	s.do("list", func(ctx context.Context, cl *clientv3.Client) error {
		r, err := cl.Get(ctx, "", clientv3.WithPrefix())
		if err != nil {
			return err
		}
		for _, kv := range r.Kvs {
			keys[string(kv.Key)] = string(kv.Value)
		}
		return nil
	})
	return keys
}

// Compact removes the history so far.
func (s *Server) Compact() {
	s.t.Helper()
	s.do("compact", func(ctx context.Context, cl *clientv3.Client) error {
		if _, err := cl.Put(ctx, "compact", "now"); err != nil { // makes sure that there is a revision to compact
			return err
		}
		r, err := cl.Delete(ctx, "compact")
		if err != nil {
			return err
		}
		_, err = cl.Compact(ctx, r.Header.Revision, clientv3.WithCompactPhysical())
		return err
	})
}

// RevokeLeases revokes every lease.
func (s *Server) RevokeLeases() {
	s.t.Helper()
	s.do("revoke", func(ctx context.Context, cl *clientv3.Client) error {
		all, err := cl.Leases(ctx)
		if err != nil {
			return err
		}
		for _, l := range all.Leases {
			if _, err := cl.Revoke(ctx, l.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// EnableAuth makes etcd require a user and a password. The user gets the root role.
func (s *Server) EnableAuth(user, password string) {
	s.t.Helper()
	s.do("enable authentication", func(ctx context.Context, cl *clientv3.Client) error {
		for _, name := range []string{"root", user} {
			if _, err := cl.UserAdd(ctx, name, password); err != nil {
				return err
			}
			if _, err := cl.UserGrantRole(ctx, name, "root"); err != nil {
				return err
			}
		}
		_, err := cl.AuthEnable(ctx)
		return err
	})
	s.user, s.secret = user, password
}
