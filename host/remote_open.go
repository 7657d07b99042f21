package host

import (
	"context"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/client"
)

// openRemote gives the generation its way to the services of other hosts: the one that is there, if discovery is the
// same.
func (p *plan) openRemote(g *generation) error {
	cfg := p.set.Manifest.Gateway.Remote
	if cfg == nil {
		return nil
	}
	d, err := g.directory(cfg.Etcd)
	if err != nil {
		return err
	}
	l := p.prev.way()
	if l == nil || l.directory != d {
		c, err := client.New(client.Options{
			Resolver: d, Guard: clientRules{p.host}, Caller: registry.Caller, Logger: p.host.log,
		})
		if err != nil {
			return err
		}
		l = newLink(cfg.Etcd, d, c, p.host.metrics, p.host.log)
		p.link = l
	}
	g.remote = newRemote(cfg, l, g.policies)
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
	l.retire()
	waiting, cancel := context.WithTimeout(h.life, retireTimeout)
	defer cancel()
	l.wait(waiting)
	closing, cancel := context.WithTimeout(context.Background(), closeTimeout)
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

// directory is the etcd cluster of a name.
func (g *generation) directory(name string) (directory, error) {
	c := g.cluster(name)
	if c == nil {
		return nil, fieldProblem(g.set, "gateway.remote.etcd", "there is no "+name+" in discovery.etcd")
	}
	return c.etcd, nil
}
