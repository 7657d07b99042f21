package host

import (
	"context"

	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/client"
)

// mostPassed is how many calls may be on their way to other hosts at once. Rules bound them; this keeps a host alive that
// has none.
const mostPassed = 100_000

// openRemote gives the generation its way to the services of other hosts: the one that is there, if discovery is the
// same.
func (p *plan) openRemote(ctx context.Context, g *generation) error {
	cfg := p.set.Manifest.Gateway.Remote
	if cfg == nil {
		return nil
	}
	c := g.cluster(cfg.Etcd)
	if c == nil {
		return g.set.ProblemAt("gateway.remote.etcd", "there is no "+cfg.Etcd+" in discovery.etcd")
	}
	l := p.prev.way()
	if l == nil || l.directory != directory(c) {
		var err error
		if l, err = p.host.openLink(cfg.Etcd, c, c.release); err != nil {
			return err
		}
		c.acquire()
		p.link = l
		if p.prev != nil { // calls go on meanwhile, and are not to meet a link that knows nothing yet
			l.await(ctx)
		}
	}
	g.remote = newRemote(g, l)
	return nil
}

// way is the link of a generation; nil when it has none.
func (g *generation) way() *link {
	if g == nil || g.remote == nil {
		return nil
	}
	return g.remote.link
}

// leave ends a link that no generation has any more, after its last call.
func (h *Host) leave(l *link) {
	h.outlast(&l.users)
	closing, cancel := context.WithTimeout(h.life, closeTimeout)
	defer cancel()
	l.shut(closing)
}

// lastPassed waits for the last calls to other hosts, of a host that ends, and returns how many were left.
func (h *Host) lastPassed(ctx context.Context) int {
	l := h.current.Load().way()
	if l == nil {
		return 0
	}
	l.retire()
	l.wait(ctx)
	return l.inFlight()
}

// openLink makes the link over a directory; done is called when it no longer needs that.
func (h *Host) openLink(name string, d directory, done func()) (*link, error) {
	c, err := client.New(client.Options{
		Resolver: client.Source{Resolver: d, Name: "etcd " + name}, Guard: remoteRules{clientRules{h}}, Caller: registry.Caller,
		Logger: h.sampler.Logger(), MaxPending: mostPassed, Wrap: h.wrapClient(""), OnAttempt: telemetry.Attempt,
	})
	if err != nil {
		return nil, err
	}
	return newLink(name, d, c, h, done), nil
}

// remoteRules are the client-side rules for the calls that a gateway passes on.
type remoteRules struct{ clientRules }

// Do asks the rules about the method by the name that they have for it, see spelling.
func (r remoteRules) Do(ctx context.Context, call client.OutgoingCall) (slot int, err error) {
	if c := registry.CallFrom(ctx); c != nil && c.Method != call.Method() {
		call = respelled{call, c.Method}
	}
	return r.clientRules.Do(ctx, call)
}

// respelled is a call whose method rules know by another spelling.
type respelled struct {
	client.OutgoingCall
	method string
}

func (c respelled) Method() string { return c.method }
