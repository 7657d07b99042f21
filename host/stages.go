package host

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/easymicro/easymicro/config"
)

// stagePlan is what a change does to the listeners. New sockets are open before commit.
type stagePlan struct {
	host  *Host
	next  map[string]*stage
	fresh []*stage         // to be started
	gone  []*stage         // to be drained
	kept  map[*socket]bool // still served afterwards
	bound []*socket        // opened for this plan
	// limits are given to the stages that stay.
	limits []func()

	health        *socket // opened for the health listener
	healthAddress config.Address
	healthChanged bool
}

// planStages opens what the set needs. Before Run nothing listens, and the plan is empty. With an error the plan is to
// be abandoned.
func (h *Host) planStages(ctx context.Context, set *config.Set) (*stagePlan, error) {
	current := *h.stages.Load()
	p := &stagePlan{host: h, next: make(map[string]*stage), kept: make(map[*socket]bool)}
	if !h.listening.Load() {
		return p, nil
	}
	listeners := set.Manifest.Listeners
	for _, cfg := range listeners {
		if old := current[cfg.Name]; old != nil && old.config.Address == cfg.Address && slices.Equal(old.config.Protocols, cfg.Protocols) {
			p.next[cfg.Name] = old
			p.kept[old.socket] = true
			p.limits = append(p.limits, func() { old.adjust(&cfg) })
		}
	}
	for i, cfg := range listeners {
		if p.next[cfg.Name] != nil {
			continue
		}
		s := p.inherit(current, cfg)
		if s == nil {
			var err error
			if s, err = bind(ctx, set, fmt.Sprintf("listeners[%d].address", i), cfg.Address); err != nil {
				return p, err
			}
			p.bound = append(p.bound, s)
		}
		p.kept[s] = true
		p.next[cfg.Name] = h.newStage(cfg, s)
		p.fresh = append(p.fresh, p.next[cfg.Name])
	}
	for name, st := range current {
		if p.next[name] != st {
			p.gone = append(p.gone, st)
		}
	}
	err := p.planHealth(ctx, set)
	return p, err
}

// inherit is the socket of a stage that goes, for the one that comes to the same address: the one of the same name if
// there is one, since several can have asked for a port of the system's choice.
func (p *stagePlan) inherit(current map[string]*stage, cfg config.Listener) *socket {
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

func (p *stagePlan) planHealth(ctx context.Context, set *config.Set) error {
	var current config.Address
	if running := p.host.health.Load(); running != nil {
		current = running.address
	}
	p.healthAddress = set.Manifest.Health.Address
	p.healthChanged = p.healthAddress != current
	if !p.healthChanged || p.healthAddress == "" {
		return nil
	}
	var err error
	p.health, err = bind(ctx, set, "health.address", p.healthAddress)
	return err
}

// commit starts the new stages and drains those that went, in the background.
func (p *stagePlan) commit() {
	h := p.host
	if !h.listening.Load() {
		return
	}
	h.stages.Store(&p.next)
	for _, limit := range p.limits {
		limit()
	}
	for _, st := range p.fresh {
		h.startStage(st)
	}
	for _, st := range p.gone {
		h.retiring.Go(func() {
			ctx, cancel := context.WithTimeout(h.life, h.gracePeriod())
			defer cancel()
			st.drain(ctx, p.kept[st.socket])
			if h.Addr(st.config.Name) == nil {
				h.metrics.DropListener(st.config.Name)
			}
		})
	}
	p.commitHealth()
}

func (p *stagePlan) commitHealth() {
	if !p.healthChanged {
		return
	}
	h := p.host
	var next *operators
	if p.health != nil {
		next = h.operate("health", p.health, p.healthAddress, func(g *generation) http.Handler { return g.health })
	}
	if old := h.health.Swap(next); old != nil {
		h.retiring.Go(func() {
			ctx, cancel := context.WithTimeout(h.life, closeTimeout)
			defer cancel()
			old.stop(ctx)
		})
	}
}

// abandon closes what was opened for a plan that is not carried out.
func (p *stagePlan) abandon() {
	for _, s := range p.bound {
		_ = s.close()
	}
	if p.health != nil {
		_ = p.health.close()
	}
}

// startStage serves a listener, and ends the host should it fail.
func (h *Host) startStage(st *stage) {
	st.start(h.life)
	h.retiring.Go(func() {
		st.done.Wait()
		close(st.ended)
		select {
		case err := <-st.failed:
			select {
			case h.failed <- err:
			default:
			}
		default:
		}
	})
}
