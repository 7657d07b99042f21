package host

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/client"
)

// maxForwarded bounds the calls in flight to other hosts, for a host without rules that do.
const maxForwarded = 100_000

// remotes is the part that forwards calls to services of other hosts.
type remotes struct {
	*core
	rules clientRules
	apply *changes
}

// remotesStep opens a remoteClient when the discovery behind it changed.
type remotesStep struct {
	noStep
	of     *remotes
	prev   *generation
	opened *remoteClient
	gone   *remoteClient
}

func (p *remotes) plan(ctx context.Context, prev, next *generation) (step, error) {
	s := &remotesStep{of: p, prev: prev, gone: prev.remoteClient()}
	cfg := next.set.Manifest.Gateway.Remote
	if cfg == nil {
		return s, nil
	}
	c := next.cluster(cfg.Etcd)
	if c == nil {
		return nil, next.set.ProblemAt("gateway.remote.etcd", "there is no "+cfg.Etcd+" in discovery.etcd")
	}
	l := prev.remoteClient()
	if l == nil || l.directory != directory(c) {
		var err error
		if l, err = p.openClient(cfg.Etcd, c, c.release); err != nil {
			return nil, err
		}
		c.acquire()
		s.opened = l
		if prev != nil { // calls go on meanwhile, and are not to meet a link that knows nothing yet
			l.await(ctx)
		}
	} else {
		s.gone = nil
	}
	next.remote = newRemote(next, l)
	return s, nil
}

// commit has a new client watch the services of the one before it, before that is closed.
func (s *remotesStep) commit() {
	if old := s.prev.remoteClient(); s.opened != nil && old != nil {
		s.opened.client.TakeOver(old.client)
	}
}

func (s *remotesStep) abandon() { s.gone = s.opened }

func (s *remotesStep) retire(<-chan struct{}) {
	if s.gone != nil {
		s.of.leave(s.gone)
		s.of.forget()
	}
}

// forget drops the metrics of methods that are no longer served.
func (p *remotes) forget() {
	p.apply.locked(func(g *generation) { p.metrics.Retain(g.serves) })
}

// leave closes a client after its last call.
func (p *remotes) leave(l *remoteClient) {
	p.drained(&l.refCount)
	closing, cancel := context.WithTimeout(p.life, closeTimeout)
	defer cancel()
	l.shut(closing)
}

// drain waits for the last calls to other hosts of a host that ends, and returns how many are left.
func (p *remotes) drain(ctx context.Context) int {
	l := p.current.Load().remoteClient()
	if l == nil {
		return 0
	}
	l.retire()
	l.wait(ctx)
	return l.inFlight()
}

// openClient returns a client for the services of a directory; done is called when the directory is no longer needed.
func (p *remotes) openClient(name string, d directory, done func()) (*remoteClient, error) {
	c, err := client.New(client.Options{
		Resolver: client.Source{Resolver: d, Name: "etcd " + name}, Guard: remoteRules{p.rules}, Caller: registry.Caller,
		Logger: p.sampler.Logger(), MaxPending: maxForwarded, Wrap: p.tracing.Wrap(p.metrics.Upstream("")), OnAttempt: telemetry.Attempt,
	})
	if err != nil {
		return nil, err
	}
	return newRemoteClient(name, d, c, p, done), nil
}

// remoteRules are the client-side rules for forwarded calls.
type remoteRules struct{ clientRules }

// Do applies the rules to the spelling of the method that they know, see spelling.
func (r remoteRules) Do(ctx context.Context, call client.OutgoingCall) (slot int, err error) {
	if c := registry.CallFrom(ctx); c != nil && c.Method != call.Method() {
		call = respelled{call, c.Method}
	}
	return r.clientRules.Do(ctx, call)
}

// respelled is a call with the spelling of its method that rules know.
type respelled struct {
	client.OutgoingCall
	method string
}

func (c respelled) Method() string { return c.method }

// firstList bounds how long a starting host waits for the list of services.
const firstList = time.Second

// directory finds the services of other hosts.
type directory interface {
	client.Resolver
	// WatchServices calls update with the names of all services that have endpoints, as Watch does with endpoints.
	WatchServices(ctx context.Context, update func([]string, error)) error
	// Missing returns the parts of the directory that have not been read yet.
	Missing() []string
}

// remoteClient calls the services of other hosts that a directory knows. Generations share it until their discovery
// changes.
type remoteClient struct {
	refCount
	cluster   string
	directory directory
	client    *client.Client
	labels    remoteLabels
	forget    func() // drops the metrics of methods that are gone
	log       *slog.Logger
	done      func() // with the directory

	found   atomic.Pointer[foundServices]
	told    chan struct{} // closed by the first list or error
	unwatch context.CancelFunc
	watched sync.WaitGroup
}

// foundServices is the last update of the directory.
type foundServices struct {
	names []string
	heard bool  // the names are what there was once, at least
	err   error // why nothing newer is known
}

func newRemoteClient(cluster string, d directory, c *client.Client, p *remotes, done func()) *remoteClient {
	l := &remoteClient{
		refCount: newRefCount(), cluster: cluster, directory: d, client: c, log: p.log, done: done,
		labels: remoteLabels{metrics: p.metrics, has: make(map[string]bool)}, forget: p.forget, told: make(chan struct{}),
	}
	l.found.Store(new(foundServices))
	var ctx context.Context
	ctx, l.unwatch = context.WithCancel(context.Background())
	l.watched.Go(func() { l.watch(ctx) })
	return l
}

func (l *remoteClient) watch(ctx context.Context) {
	var first sync.Once
	err := l.directory.WatchServices(ctx, func(names []string, err error) {
		next, dropped := *l.found.Load(), false
		if next.err = err; err == nil {
			next.names, next.heard = names, true
			dropped = l.labels.keep(names) // before any of the new ones asks for room
		}
		l.found.Store(&next)
		first.Do(func() { close(l.told) })
		if dropped {
			l.forget()
		}
	})
	if ctx.Err() == nil {
		l.log.Error("the services of other hosts are no longer followed", "etcd", l.cluster, "error", err)
	}
}

// await waits for the first update, or until firstList has passed.
func (l *remoteClient) await(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, firstList)
	defer cancel()
	select {
	case <-l.told:
	case <-ctx.Done():
	}
}

// shut closes the client, whose last call has ended or is abandoned.
func (l *remoteClient) shut(ctx context.Context) {
	l.unwatch()
	if err := l.client.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		l.log.Warn("the connections to other hosts were not closed cleanly", "etcd", l.cluster, "error", err)
	}
	_ = l.client.Close()
	l.watched.Wait()
	l.done()
}
