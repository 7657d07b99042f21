package listen

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
)

// A Plan is a change of the listeners. Its new sockets are bound; Commit or Abandon ends it, and after Commit Retire.
type Plan struct {
	of    *Listeners
	set   *config.Set
	next  map[string]*server
	added []*server
	gone  []*server
	kept  map[*socket]bool // served by next
	bound []*socket        // opened for this plan
	// adjust applies changed settings to the servers that stay.
	adjust []func()

	health        *socket // opened for the health listener
	healthChanged bool
	oldHealth     *adminServer
}

// bind binds the addresses that the set adds.
func (p *Plan) bind(ctx context.Context) error {
	current := *p.of.servers.Load()
	listeners := p.set.Manifest.Listeners
	for _, cfg := range listeners {
		if old := current[cfg.Name]; old != nil && old.config.Address == cfg.Address && slices.Equal(old.config.Protocols, cfg.Protocols) {
			p.next[cfg.Name] = old
			p.kept[old.socket] = true
			p.adjust = append(p.adjust, func() { old.adjust(&cfg) })
		}
	}
	for i, cfg := range listeners {
		if p.next[cfg.Name] != nil {
			continue
		}
		s := p.takeOver(current, cfg)
		if s == nil {
			var err error
			if s, err = bind(ctx, p.set, fmt.Sprintf("listeners[%d].address", i), cfg.Address); err != nil {
				return err
			}
			p.bound = append(p.bound, s)
		}
		p.kept[s] = true
		p.next[cfg.Name] = newServer(p.of, cfg, s)
		p.added = append(p.added, p.next[cfg.Name])
	}
	for name, s := range current {
		if p.next[name] != s {
			p.gone = append(p.gone, s)
		}
	}
	return p.bindHealth(ctx)
}

// takeOver returns the socket of a server that ends, for a new one with the same address: preferably that of the same
// name, since several may have port 0.
func (p *Plan) takeOver(current map[string]*server, cfg config.Listener) *socket {
	if old := current[cfg.Name]; old != nil && old.config.Address == cfg.Address && !p.kept[old.socket] {
		return old.socket
	}
	for _, old := range current {
		if old.config.Address == cfg.Address && !p.kept[old.socket] {
			return old.socket
		}
	}
	return nil
}

func (p *Plan) bindHealth(ctx context.Context) error {
	var current config.Address
	if running := p.of.health.Load(); running != nil {
		current = running.address
	}
	address := p.set.Manifest.Health.Address
	p.healthChanged = address != current
	if !p.healthChanged || address == "" {
		return nil
	}
	var err error
	p.health, err = bind(ctx, p.set, "health.address", address)
	return err
}

// Commit starts the new servers; their calls end with life.
func (p *Plan) Commit(life context.Context) {
	l := p.of
	if !l.open.Load() {
		return
	}
	l.servers.Store(&p.next)
	for _, adjust := range p.adjust {
		adjust()
	}
	for _, s := range p.added {
		s.start(life)
	}
	if !p.healthChanged {
		return
	}
	var next *adminServer
	if p.health != nil {
		next = serveAdmin(l, "health", p.health, p.set.Manifest.Health.Address, l.o.Health)
	}
	p.oldHealth = l.health.Swap(next)
}

// Abandon closes what was opened for the plan; there is nothing to retire then.
func (p *Plan) Abandon() {
	p.gone = nil
	for _, s := range p.bound {
		_ = s.close()
	}
	if p.health != nil {
		_ = p.health.close()
	}
}

// healthStop bounds the requests of a health listener that is replaced.
const healthStop = 5 * time.Second

// Retire drains the servers that Commit replaced, and returns when they have ended.
func (p *Plan) Retire(life context.Context, _ <-chan struct{}) {
	var retiring sync.WaitGroup
	defer retiring.Wait()
	for _, s := range p.gone {
		retiring.Go(func() {
			ctx, cancel := context.WithTimeout(life, p.set.Manifest.Host.Shutdown.GracePeriod.Std())
			defer cancel()
			s.drain(ctx, p.kept[s.socket])
			if p.of.Addr(s.config.Name) == nil {
				p.of.o.Metrics.DropListener(s.config.Name)
			}
		})
	}
	if p.oldHealth != nil {
		ctx, cancel := context.WithTimeout(life, healthStop)
		defer cancel()
		p.oldHealth.stop(ctx)
	}
}
