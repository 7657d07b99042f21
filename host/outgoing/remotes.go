package outgoing

import (
	"context"
	"crypto/tls"
	"fmt"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/credentials"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/client"
)

// Remotes plans the client by which the gateway calls services of other hosts.
type Remotes struct {
	Options
	Directory Directory // in place of the cluster that the manifest names; nil: none
}

// RemotePlan is a change of that client.
type RemotePlan struct {
	of           *Remotes
	opened, gone *RemoteClient
}

// Plan opens a client if its TLS or the discovery behind it changed. Calls use the one before it until it is connected.
func (p *Remotes) Plan(ctx context.Context, prev, next *Connections) (*RemotePlan, error) {
	s := &RemotePlan{of: p}
	if prev != nil {
		s.gone = prev.Remote
	}
	cfg := next.Set.Manifest.Gateway.Remote
	if cfg == nil {
		return s, nil
	}
	c := next.Cluster(cfg.Etcd)
	if c == nil {
		return s, next.Set.ProblemAt("gateway.remote.etcd", fmt.Sprintf("discovery.etcd has no entry named %q", cfg.Etcd))
	}
	running := s.gone
	if running != nil && running.directory != p.directory(c) {
		running = nil
	}
	made := spec[*config.ClientTLS]{config: cfg.TLS, files: credentials.Fingerprint(next.Set, credentials.ClientFiles(cfg.TLS)...)}
	now, opened, err := reuseOrOpen(next, running, made, func() (*RemoteClient, error) { return p.openSecured(next.Set, c, made) })
	if err != nil {
		return s, err
	}
	if next.Remote = now; !opened {
		s.gone = nil
		return s, nil
	}
	s.opened = now
	if s.gone != nil {
		now.Replace(&s.gone.Successor)
	}
	if prev != nil { // calls go on meanwhile, and are not to meet a client that knows nothing yet
		s.opened.Await(ctx)
	}
	return s, nil
}

func (p *Remotes) directory(c *Cluster) Directory {
	if p.Directory != nil {
		return p.Directory
	}
	return c
}

func (p *Remotes) openSecured(set *config.Set, c *Cluster, made spec[*config.ClientTLS]) (*RemoteClient, error) {
	conf, err := credentials.ClientTLS(set, "gateway.remote.tls", made.config)
	if err != nil {
		return nil, err
	}
	r, err := p.Open(c.name, p.directory(c), conf, c.Release)
	if err != nil {
		return nil, err
	}
	c.Acquire()
	r.spec = made
	return r, nil
}

// Commit has a new client watch the services of the one before it, before that is closed.
func (s *RemotePlan) Commit(context.Context) {
	if s.opened != nil && s.gone != nil {
		s.opened.Client.TakeOver(s.gone.Client)
	}
}

// Abandon has Retire close what was opened.
func (s *RemotePlan) Abandon() { s.gone, s.opened = s.opened, nil }

// Retire connects a new client, which calls use from then on, closes the one that is out of use, and returns when that has
// ended.
func (s *RemotePlan) Retire(life context.Context, _ <-chan struct{}) {
	if s.opened != nil {
		s.opened.TakeOver(life)
	}
	if s.gone != nil {
		s.gone.Discard(life)
		s.of.MethodsGone()
	}
}

// maxForwarded bounds the calls in flight to other hosts, for a host without rules that do.
const maxForwarded = 100_000

// Open returns a client for the services of a directory; release is called once the directory is unused. A nil conf is
// no TLS.
func (p *Remotes) Open(cluster string, d Directory, conf *tls.Config, release func()) (*RemoteClient, error) {
	c, err := client.New(client.Options{
		TLS:      conf,
		Resolver: client.Source{Resolver: d, Name: "etcd " + cluster}, Guard: remoteGuard{p.Guard}, Caller: registry.Caller,
		Logger: p.Sampler.Logger(), MaxPending: maxForwarded, Wrap: p.Tracing.Wrap(p.Metrics.Upstream("")), OnAttempt: telemetry.Attempt,
	})
	if err != nil {
		return nil, err
	}
	r := &RemoteClient{
		OtherHosts: route.NewOtherHosts(cluster, c, d.Missing, p.Metrics), directory: d, log: p.Log, release: release,
	}
	var ctx context.Context
	ctx, r.unwatch = context.WithCancel(context.Background())
	r.watched.Go(func() { r.watch(ctx, p.MethodsGone) })
	return r, nil
}

// remoteGuard applies the client-side rules to forwarded calls, in the spelling of the method that the rules know.
type remoteGuard struct{ client.Guard }

// Do implements client.Guard.
func (r remoteGuard) Do(ctx context.Context, call client.OutgoingCall) (slot int, err error) {
	if c := registry.CallFrom(ctx); c != nil && c.Method != call.Method() {
		call = respelled{call, c.Method}
	}
	return r.Guard.Do(ctx, call)
}

// respelled is a call with the spelling of its method that rules know.
type respelled struct {
	client.OutgoingCall
	method string
}

func (c respelled) Method() string { return c.method }
