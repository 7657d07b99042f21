package host

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/watch"
	"github.com/easymicro/easymicro/host/discovery"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
)

// An upstream is a client for an upstream of the manifest. Generations share it, with its connections, until its spec
// changes; it is closed after its last call.
type upstream struct {
	refCount // calls
	spec     spec[config.Upstream]
	cluster  *cluster // where its endpoints are found; nil when that is elsewhere
	client   *client.Client
}

func (u *upstream) currentSpec() spec[config.Upstream] { return u.spec }

// upstreams is the part of the clients that handlers call by.
type upstreams struct {
	*core
	rules clientRules
	watch func() watch.Timing // of files with endpoints
	apply *changes
}

// upstreamsStep opens the upstreams that a change adds.
type upstreamsStep struct {
	noStep
	of     *upstreams
	prev   *generation
	gone   []*upstream // or those that were opened, once abandoned
	opened []*upstream
	next   *generation
}

// plan opens no connection; the first call does.
func (p *upstreams) plan(_ context.Context, prev, next *generation) (step, error) {
	next.upstreams = make(map[string]*upstream, len(next.set.Manifest.Upstreams))
	s := &upstreamsStep{of: p, prev: prev, next: next}
	for i, cfg := range next.set.Manifest.Upstreams {
		made := spec[config.Upstream]{config: cfg, files: fingerprint(next.set, tlsFiles(cfg.TLS)...)}
		var found *cluster
		if cfg.Resolve.Etcd != "" {
			found = next.clusters[cfg.Resolve.Etcd]
		}
		running := prev.upstream(cfg.Name)
		if running != nil && running.cluster != found {
			running = nil // it looks for its endpoints elsewhere
		}
		u, opened, err := reuseOrOpen(next, running, made, func() (*upstream, error) {
			return p.openUpstream(next.set, fmt.Sprintf("upstreams[%d]", i), made, found)
		})
		if err != nil {
			return s, err
		}
		if opened {
			s.opened = append(s.opened, u)
		}
		next.upstreams[cfg.Name] = u
	}
	s.gone = prev.upstreamsWithout(next)
	return s, nil
}

// commit has new clients watch the services of those before them, before these are closed.
func (s *upstreamsStep) commit() {
	for _, u := range s.opened {
		if old := s.prev.upstream(u.spec.config.Name); old != nil && old.spec.config.Service == u.spec.config.Service {
			u.client.TakeOver(old.client)
		}
	}
}

func (s *upstreamsStep) abandon() { s.gone = s.opened }

// retire closes upstreams once the instances that may use them have retired.
func (s *upstreamsStep) retire(before <-chan struct{}) {
	<-before
	var closing sync.WaitGroup
	for _, u := range s.gone {
		closing.Go(func() { s.of.discard(u) })
	}
	closing.Wait()
	if len(s.gone) > 0 { // none of them is in the generation that has their metrics now
		s.of.apply.locked(func(g *generation) {
			s.of.metrics.RetainUpstreams(func(name string) bool { return name == "" || g.upstream(name) != nil })
		})
	}
}

func (p *upstreams) openUpstream(set *config.Set, path string, made spec[config.Upstream], found *cluster) (*upstream, error) {
	cfg := made.config
	o := client.Options{
		Guard: p.rules, Upstream: cfg.Name, Group: cfg.Group,
		Policy: client.Policy(cfg.LoadBalancer.Policy), HashOn: cfg.LoadBalancer.HashOn,
		Codec: cfg.Codec, LowerCase: cfg.Compat == "easymicro2019", Idempotent: cfg.Idempotent,
		ConnectTimeout: cfg.Connection.ConnectTimeout.Std(), KeepaliveInterval: cfg.Connection.KeepaliveInterval.Std(),
		KeepaliveTimeout: cfg.Connection.KeepaliveTimeout.Std(), PoolSize: cfg.Connection.PoolSize,
		Caller: registry.Caller, Wrap: p.tracing.Wrap(p.metrics.Upstream(cfg.Name)), OnAttempt: telemetry.Attempt,
		Logger: p.sampler.Logger().With("upstream", cfg.Name),
	}
	if c := cfg.Compression; c != nil {
		o.Compression = compressions[c.Type]
		o.CompressAbove = max(int(c.MinBytes), 1)
	}
	var err error
	if o.TLS, err = clientTLS(set, path+".tls", cfg.TLS); err != nil {
		return nil, err
	}
	looks, err := p.resolver(set, &cfg.Resolve, found)
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
	return &upstream{refCount: newRefCount(), spec: made, cluster: found, client: c}, nil
}

var compressions = map[string]wire.Compression{"gzip": wire.Gzip, "zstd": wire.Zstd}

// upstreamTimeout bounds how long a discarded upstream waits for what is on the wire.
const upstreamTimeout = 30 * time.Second

// close closes the upstreams of a host that ends.
func (p *upstreams) close(ctx context.Context, g *generation) {
	var closing sync.WaitGroup
	for _, u := range g.upstreams {
		closing.Go(func() {
			u.retire()
			p.closeUpstream(ctx, u)
		})
	}
	closing.Wait()
}

// discard closes an upstream after its last call.
func (p *upstreams) discard(u *upstream) {
	p.drained(&u.refCount)
	closing, cancel := context.WithTimeout(p.life, upstreamTimeout)
	defer cancel()
	p.closeUpstream(closing, u)
}

func (p *upstreams) closeUpstream(ctx context.Context, u *upstream) {
	err := u.client.Shutdown(ctx)
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		p.log.Warn("an upstream was not closed cleanly", "upstream", u.spec.config.Name, "error", err)
	}
	_ = u.client.Close()
	if u.cluster != nil {
		u.cluster.release()
	}
}

// resolver returns what finds the endpoints of an upstream.
func (p *upstreams) resolver(set *config.Set, r *config.Resolve, found *cluster) (client.Resolver, error) {
	log := p.log.With("resolve", where(r))
	switch {
	case found != nil:
		return found, nil
	case r.DNS != "":
		return discovery.DNS(r.DNS, discovery.DNSOptions{Logger: log})
	case r.File != "":
		return discovery.File(set.Path(r.File), discovery.FileOptions{Timing: p.watch, Logger: log, Env: set.Env}), nil
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

// clientRules applies the client-side rules in force. It outlives generations.
type clientRules struct {
	*core
	pool     *client.Pool // of upstreams, for the clients and the rules of all generations
	recorder *recorder
}

var _ client.Guard = clientRules{}

// Pool implements client.Guard.
func (r clientRules) Pool() *client.Pool { return r.pool }

// Do runs a call under the rules in force when it begins.
func (r clientRules) Do(ctx context.Context, call client.OutgoingCall) (slot int, err error) {
	g := r.current.Load()
	if g == nil {
		return 0, call.Attempt(ctx, 0, nil) // a handler that is being opened calls: no rule is in force yet
	}
	var within time.Time
	if outer := registry.CallFrom(ctx); outer != nil {
		within = outer.RuleDeadline
	}
	slot, would, err := g.policies.ClientRules().DoWithin(ctx, call, within)
	for _, w := range would {
		r.recorder.shadowedOut(ctx, g, call, w)
	}
	if err != nil {
		r.recorder.refusedOut(ctx, g, call, err)
	}
	return slot, err
}

// spec is the configuration of something that generations share. When it changes, a new one is opened.
type spec[C any] struct {
	config C
	files  string // fingerprint of those that config names
}

// reusable is what generations share until its spec changes.
type reusable[C any] interface {
	comparable
	currentSpec() spec[C]
}

// reuseOrOpen returns the running T if its spec is unchanged, or else the one that open returns. If the only error is
// that a certificate and its key do not match, the running T stays, with a warning: such files are replaced one by
// one. The zero T means none.
func reuseOrOpen[T reusable[C], C any](g *generation, running T, next spec[C], open func() (T, error)) (now T, opened bool, err error) {
	var none T
	if running != none && reflect.DeepEqual(running.currentSpec(), next) {
		return running, false, nil
	}
	now, err = open()
	switch {
	case err == nil:
		return now, true, nil
	case running != none && errors.As(err, new(*mismatchError)) && reflect.DeepEqual(running.currentSpec().config, next.config):
		g.warnReused(err)
		return running, false, nil
	}
	return none, false, err
}
