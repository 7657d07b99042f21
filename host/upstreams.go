package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/discovery"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
)

// An upstream is one of the manifest at work: the client that handlers call it by. Generations that do not change it
// share it, with its connections; it is closed after its last call when a newer one has taken its place.
type upstream struct {
	users   // calls
	made    recipe[config.Upstream]
	cluster *cluster // where its endpoints are found; nil when that is elsewhere
	client  *client.Client
}

func (u *upstream) madeOf() recipe[config.Upstream] { return u.made }

// openUpstreams gives the generation its upstreams: the running ones that nothing changed, and new ones. No connection
// is opened before the first call.
func (p *plan) openUpstreams(g *generation) error {
	g.upstreams = make(map[string]*upstream, len(p.set.Manifest.Upstreams))
	for i, cfg := range p.set.Manifest.Upstreams {
		made := recipe[config.Upstream]{config: cfg, files: fingerprint(p.set, tlsFiles(cfg.TLS)...)}
		var found *cluster
		if cfg.Resolve.Etcd != "" {
			found = g.clusters[cfg.Resolve.Etcd]
		}
		running := p.prev.upstream(cfg.Name)
		if running != nil && running.cluster != found {
			running = nil // it looks for its endpoints elsewhere
		}
		u, opened, err := renew(g, running, made, func() (*upstream, error) {
			return p.host.openUpstream(p.set, fmt.Sprintf("upstreams[%d]", i), made, found)
		})
		if err != nil {
			return err
		}
		if opened {
			p.openedUpstreams = append(p.openedUpstreams, u)
		}
		g.upstreams[cfg.Name] = u
	}
	return nil
}

// upstream is that of a name. No generation has none.
func (g *generation) upstream(name string) *upstream {
	if g == nil {
		return nil
	}
	return g.upstreams[name]
}

func (h *Host) openUpstream(set *config.Set, path string, made recipe[config.Upstream], found *cluster) (*upstream, error) {
	cfg := made.config
	o := client.Options{
		Guard: clientRules{h}, Upstream: cfg.Name, Group: cfg.Group,
		Policy: client.Policy(cfg.LoadBalancer.Policy), HashOn: cfg.LoadBalancer.HashOn,
		Codec: cfg.Codec, LowerCase: cfg.Compat == "easymicro2019", Idempotent: cfg.Idempotent,
		ConnectTimeout: cfg.Connection.ConnectTimeout.Std(), KeepaliveInterval: cfg.Connection.KeepaliveInterval.Std(),
		KeepaliveTimeout: cfg.Connection.KeepaliveTimeout.Std(), PoolSize: cfg.Connection.PoolSize,
		Caller: registry.Caller, Wrap: h.wrapClient(cfg.Name), OnAttempt: telemetry.Attempt, Logger: h.sampler.Logger().With("upstream", cfg.Name),
	}
	if c := cfg.Compression; c != nil {
		o.Compression = compressions[c.Type]
		o.CompressAbove = max(int(c.MinBytes), 1)
	}
	var err error
	if o.TLS, err = clientTLS(set, path+".tls", cfg.TLS); err != nil {
		return nil, err
	}
	looks, err := h.resolver(set, &cfg.Resolve, found)
	if err != nil {
		return nil, set.ProblemAt(path+".resolve", err.Error())
	}
	o.Resolver = client.Source{Resolver: looks, Name: where(&cfg.Resolve), LogErrors: cfg.Resolve.File != ""}
	c, err := client.New(o)
	if err != nil {
		return nil, set.ProblemAt(path, err.Error())
	}
	if found != nil {
		found.acquire()
	}
	return &upstream{users: newUsers(), made: made, cluster: found, client: c}, nil
}

var compressions = map[string]wire.Compression{"gzip": wire.Gzip, "zstd": wire.Zstd}

// upstreamTimeout bounds how long an upstream that was taken out of service waits for what is on the wire.
const upstreamTimeout = 30 * time.Second

// upstreamsWithout is those that next does not have.
func (g *generation) upstreamsWithout(next *generation) []*upstream {
	if g == nil {
		return nil
	}
	var gone []*upstream
	for name, u := range g.upstreams {
		if next.upstreams[name] != u {
			gone = append(gone, u)
		}
	}
	return gone
}

// discardAll closes instances that are out of service, and then the upstreams that their last calls may have needed.
func (h *Host) discardAll(instances []*instance, upstreams []*upstream) {
	var closing sync.WaitGroup
	for _, inst := range instances {
		closing.Go(func() { h.discard(inst) })
	}
	closing.Wait()
	for _, u := range upstreams {
		closing.Go(func() { h.discardUpstream(u) })
	}
	closing.Wait()
	if len(upstreams) > 0 {
		h.forgetUpstreams()
	}
}

// forgetUpstreams drops the metrics of upstreams that are gone. No generation is being made meanwhile, which could have
// them again.
func (h *Host) forgetUpstreams() {
	h.applying.Lock()
	defer h.applying.Unlock()
	g := h.current.Load()
	h.metrics.RetainUpstreams(func(name string) bool { return name == "" || g.upstream(name) != nil })
}

// closeOutgoing closes the upstreams and the clusters of a host that ends, whose handlers are closed.
func (h *Host) closeOutgoing(ctx context.Context) {
	g := h.current.Load()
	if g == nil {
		return
	}
	var closing sync.WaitGroup
	for _, u := range g.upstreams {
		closing.Go(func() {
			u.retire()
			h.closeUpstream(ctx, u)
		})
	}
	closing.Wait()
	for _, c := range g.clusters {
		closing.Go(func() { h.closeCluster(c) })
	}
	closing.Wait()
}

// bind moves the clients of the instances to what the generation says.
func (p *plan) bind(g *generation) {
	for _, s := range g.services {
		s.instance.clients.move(g.bindingsOf(s.config))
	}
}

// discardUpstream closes an upstream that is out of service, after its last call.
func (h *Host) discardUpstream(u *upstream) {
	h.outlast(&u.users)
	closing, cancel := context.WithTimeout(h.life, upstreamTimeout)
	defer cancel()
	h.closeUpstream(closing, u)
}

func (h *Host) closeUpstream(ctx context.Context, u *upstream) {
	err := u.client.Shutdown(ctx)
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		h.log.Warn("an upstream was not closed cleanly", "upstream", u.made.config.Name, "error", err)
	}
	_ = u.client.Close()
	if u.cluster != nil {
		u.cluster.release()
	}
}

// compileOptions are what the rules need to know of a set.
func compileOptions(set *config.Set, host string) policies.Options {
	o := policies.Options{
		Host: host, Aliases: aliases(set.Manifest), Upstreams: set.Manifest.UpstreamNames(), Remote: remoteServices(set.Manifest),
	}
	if o.Remote != nil {
		o.Upstreams = nil // every service that discovery knows is one
		o.Allowed = append(set.Manifest.UpstreamNames(), set.Manifest.Gateway.Remote.Services...)
	}
	return o
}

// resolver is where the endpoints of an upstream are found.
func (h *Host) resolver(set *config.Set, r *config.Resolve, found *cluster) (client.Resolver, error) {
	log := h.log.With("resolve", where(r))
	switch {
	case found != nil:
		return found, nil
	case r.DNS != "":
		return discovery.DNS(r.DNS, discovery.DNSOptions{Logger: log})
	case r.File != "":
		return discovery.File(set.Path(r.File), discovery.FileOptions{Timing: h.watchTiming, Logger: log, Env: set.Env}), nil
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
