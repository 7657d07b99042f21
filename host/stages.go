package host

import (
	"context"
	"fmt"
	"slices"

	"github.com/easymicro/easymicro/config"
)

// stagePlan is what a change does to the listeners. New sockets are open before commit.
type stagePlan struct {
	host  *Host
	next  map[string]*stage
	fresh []*stage         // to be started
	bound []*socket        // opened for this plan
	gone  []*stage         // to be drained
	kept  map[*socket]bool // still served afterwards
	// limits are given to the stages that stay.
	limits []func()
}

// planStages opens what the set needs. Before Run nothing listens, and the plan is empty.
func (h *Host) planStages(ctx context.Context, set *config.Set) (*stagePlan, error) {
	p := &stagePlan{host: h, next: make(map[string]*stage), kept: make(map[*socket]bool)}
	if h.running == nil {
		p.next = h.stages
		return p, nil
	}
	sockets := make(map[config.Address]*socket, len(h.stages))
	for _, st := range h.stages {
		sockets[st.config.Address] = st.socket
	}
	for i, cfg := range set.Manifest.Listeners {
		if old := h.stages[cfg.Name]; old != nil && old.config.Address == cfg.Address && slices.Equal(old.config.Protocols, cfg.Protocols) {
			p.next[cfg.Name] = old
			p.kept[old.socket] = true
			p.limits = append(p.limits, func() { old.limit(cfg) })
			continue
		}
		s := sockets[cfg.Address]
		if s == nil {
			var err error
			if s, err = bind(ctx, set, fmt.Sprintf("listeners[%d].address", i), cfg.Address); err != nil {
				p.abandon()
				return nil, err
			}
			p.bound = append(p.bound, s)
		}
		st := h.newStage(cfg, s)
		p.next[cfg.Name] = st
		p.kept[s] = true
		p.fresh = append(p.fresh, st)
	}
	for name, st := range h.stages {
		if p.next[name] != st {
			p.gone = append(p.gone, st)
		}
	}
	return p, nil
}

// commit starts the new stages and drains those that went, in the background.
func (p *stagePlan) commit() {
	h := p.host
	h.stages = p.next
	for _, limit := range p.limits {
		limit()
	}
	for _, st := range p.fresh {
		h.startStage(st)
	}
	for _, st := range p.gone {
		h.retiring.Go(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(h.running), h.gracePeriod())
			defer cancel()
			st.drain(ctx, p.kept[st.socket])
			if _, again := p.next[st.config.Name]; !again {
				h.metrics.DropListener(st.config.Name)
			}
		})
	}
}

// abandon closes what was opened for a plan that is not carried out.
func (p *stagePlan) abandon() {
	for _, s := range p.bound {
		_ = s.close()
	}
}
