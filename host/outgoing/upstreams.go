package outgoing

import (
	"context"
	"fmt"
	"sync"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/credentials"
	"github.com/easymicro/easymicro/host/discovery"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
)

// Upstreams plans the clients by which handlers call other services.
type Upstreams struct{ Options }

// UpstreamPlan is a change of the upstreams.
type UpstreamPlan struct {
	of     *Upstreams
	prev   *Connections
	opened []*Upstream
	gone   []*Upstream // or those that were opened, once abandoned
}

// Plan opens the upstreams that next adds, but no connection; the first call does. Calls use those before them until they are
// connected.
func (p *Upstreams) Plan(prev, next *Connections) (*UpstreamPlan, error) {
	next.upstreams = make(map[string]*Upstream, len(next.Set.Manifest.Upstreams))
	s := &UpstreamPlan{of: p, prev: prev}
	for i, cfg := range next.Set.Manifest.Upstreams {
		made := spec[config.Upstream]{config: cfg, files: credentials.Fingerprint(next.Set, credentials.ClientFiles(cfg.TLS)...)}
		found := next.clusters[cfg.Resolve.Etcd]
		before := prev.Upstream(cfg.Name)
		running := before
		if running != nil && running.cluster != found {
			running = nil // it looks for its endpoints elsewhere
		}
		u, opened, err := reuseOrOpen(next, running, made, func() (*Upstream, error) {
			return p.open(next.Set, fmt.Sprintf("upstreams[%d]", i), made, found)
		})
		if err != nil {
			return s, err
		}
		if opened {
			s.opened = append(s.opened, u)
			if before != nil {
				u.Replace(&before.Successor)
			}
		}
		next.upstreams[cfg.Name] = u
	}
	if prev != nil {
		for name, u := range prev.upstreams {
			if next.upstreams[name] != u {
				s.gone = append(s.gone, u)
			}
		}
	}
	return s, nil
}

// Commit has new clients watch the services of those before them, before these are closed.
func (s *UpstreamPlan) Commit(context.Context) {
	for _, u := range s.opened {
		old := s.prev.Upstream(u.spec.config.Name)
		if old != nil && old.Service == u.Service {
			u.Client.TakeOver(old.Client)
		}
	}
}

// Abandon has Retire close what was opened.
func (s *UpstreamPlan) Abandon() { s.gone, s.opened = s.opened, nil }

// Retire connects the new upstreams, which calls use from then on, and closes those that are out of use once the instances
// that may use them have retired.
func (s *UpstreamPlan) Retire(life context.Context, usersRetired <-chan struct{}) {
	var replacing sync.WaitGroup
	for _, u := range s.opened {
		replacing.Go(func() { u.TakeOver(life) })
	}
	replacing.Wait()
	<-usersRetired
	var closing sync.WaitGroup
	for _, u := range s.gone {
		closing.Go(func() { u.discard(life, s.of.Log) })
	}
	closing.Wait()
	if len(s.gone) > 0 {
		s.of.UpstreamsGone()
	}
}

// Close closes the upstreams of a host that ends.
func (p *Upstreams) Close(ctx context.Context, c *Connections) {
	var closing sync.WaitGroup
	for _, u := range c.upstreams {
		closing.Go(func() {
			u.RefCount.Retire()
			u.close(ctx, p.Log)
		})
	}
	closing.Wait()
}

func (p *Upstreams) open(set *config.Set, path string, made spec[config.Upstream], found *Cluster) (*Upstream, error) {
	cfg := made.config
	o := client.Options{
		Guard: p.Guard, Upstream: cfg.Name, Group: cfg.Group,
		Policy: client.Policy(cfg.LoadBalancer.Policy), HashOn: cfg.LoadBalancer.HashOn,
		Codec: cfg.Codec, LowerCase: cfg.Compat == "easymicro2019", Idempotent: cfg.Idempotent,
		ConnectTimeout: cfg.Connection.ConnectTimeout.Std(), KeepaliveInterval: cfg.Connection.KeepaliveInterval.Std(),
		KeepaliveTimeout: cfg.Connection.KeepaliveTimeout.Std(), PoolSize: cfg.Connection.PoolSize,
		Caller: registry.Caller, Wrap: p.Tracing.Wrap(p.Metrics.Upstream(cfg.Name)), OnAttempt: telemetry.Attempt,
		Logger: p.Sampler.Logger().With("upstream", cfg.Name),
	}
	if c := cfg.Compression; c != nil {
		o.Compression = compressions[c.Type]
		o.CompressAbove = max(int(c.MinBytes), 1)
	}
	var err error
	if o.TLS, err = credentials.ClientTLS(set, path+".tls", cfg.TLS); err != nil {
		return nil, err
	}
	looks, err := p.resolver(set, &cfg.Resolve, found)
	if err != nil {
		return nil, set.ProblemAt(path+".resolve", err.Error())
	}
	o.Resolver = client.Source{Resolver: looks, Name: Where(&cfg.Resolve), LogErrors: cfg.Resolve.File != ""}
	c, err := client.New(o)
	if err != nil {
		return nil, set.ProblemAt(path, err.Error())
	}
	if found != nil {
		found.Acquire()
	}
	return &Upstream{Successor: route.Successor{RefCount: route.NewRefCount(), Client: c, Service: cfg.Service}, spec: made, cluster: found}, nil
}

var compressions = map[string]wire.Compression{"gzip": wire.Gzip, "zstd": wire.Zstd}

// resolver returns what finds the endpoints of an upstream.
func (p *Upstreams) resolver(set *config.Set, r *config.Resolve, found *Cluster) (client.Resolver, error) {
	log := p.Log.With("resolve", Where(r))
	switch {
	case found != nil:
		return found, nil
	case r.DNS != "":
		return discovery.DNS(r.DNS, discovery.DNSOptions{Logger: log})
	case r.File != "":
		return discovery.File(set.Path(r.File), discovery.FileOptions{Timing: p.Timing, Logger: log, Env: set.Env}), nil
	}
	addresses := make([]string, len(r.Endpoints))
	for i, a := range r.Endpoints {
		addresses[i] = string(a)
		if network, path, err := a.Split(); err == nil && network == "unix" {
			addresses[i] = "unix://" + set.Path(path)
		}
	}
	return discovery.Static(addresses...)
}
