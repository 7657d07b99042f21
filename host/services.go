package host

import (
	"context"
	"fmt"
	"time"

	"github.com/easymicro/easymicro/config"
)

// tuning is an instance that takes changed options while it runs.
type tuning struct {
	instance *instance
	name     string
	next     config.RawOptions
	done     bool
}

// openServices binds every service of the set to an instance: the running one when nothing about it changed or it can
// take changed options, and a new one otherwise.
func (p *plan) openServices(ctx context.Context, g *generation) error {
	p.taken = make(map[string]*instance)
	if p.prev != nil {
		for _, s := range p.prev.services {
			p.taken[s.config.Name] = s.instance
		}
	}
	for i := range p.set.Manifest.Services {
		cfg := &p.set.Manifest.Services[i]
		inst, err := p.instance(ctx, cfg)
		if err != nil {
			return fieldProblem(p.set, fmt.Sprintf("services[%d]", i), err.Error())
		}
		s := newService(cfg, inst)
		if problems := p.exposed(i, cfg, inst); len(problems) > 0 {
			return problems
		}
		g.services = append(g.services, s)
	}
	return nil
}

// exposed repeats the check of methods.expose for handlers whose methods are known only once they are open.
func (p *plan) exposed(i int, cfg *config.Service, inst *instance) config.Problems {
	c := &checker{set: p.set}
	var names []string
	for _, m := range inst.service.Methods() {
		names = append(names, m.Name)
	}
	c.exposed(fmt.Sprintf("services[%d]", i), cfg, names)
	return c.problems
}

func (p *plan) instance(ctx context.Context, cfg *config.Service) (*instance, error) {
	entry, ok := p.host.registry.Lookup(cfg.Handler)
	if !ok {
		return nil, fmt.Errorf("no handler %q is compiled in", cfg.Handler)
	}
	running := p.taken[cfg.Name]
	if running != nil && running.entry == entry {
		if running.options.Equal(cfg.Options) {
			delete(p.taken, cfg.Name)
			return running, nil
		}
		if running.service.Reconfigurable() {
			delete(p.taken, cfg.Name)
			p.tuned = append(p.tuned, &tuning{instance: running, name: cfg.Name, next: cfg.Options})
			return running, nil
		}
	}
	inst, err := p.host.openInstance(ctx, cfg, entry)
	if err != nil {
		return nil, err
	}
	p.opened = append(p.opened, inst)
	return inst, nil
}

// tune gives running instances their changed options. When one refuses, those before it get their old ones back.
func (p *plan) tune(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	for i, t := range p.tuned {
		if _, err := t.instance.service.Reconfigure(ctx, optionsDecoder(t.next)); err != nil {
			for _, back := range p.tuned[:i] {
				if _, err := back.instance.service.Reconfigure(ctx, optionsDecoder(back.instance.options)); err != nil {
					p.host.log.Error("a handler does not take its former options back", "service", back.name, "error", err)
				}
			}
			return fmt.Errorf("service %s does not take its changed options: %w", t.name, err)
		}
	}
	for _, t := range p.tuned {
		t.instance.options = t.next
	}
	return nil
}

// retire closes instances that no generation serves any more, each after its last call.
func (h *Host) retire(instances map[string]*instance) {
	for _, inst := range instances {
		h.retiring.Go(func() { h.close(inst) })
	}
}

// retireTimeout bounds how long an instance that was taken out of service waits for its last call.
const retireTimeout = 5 * time.Minute

func (h *Host) close(inst *instance) {
	ctx, cancel := context.WithTimeout(context.Background(), retireTimeout)
	defer cancel()
	if err := inst.retire(ctx); err != nil {
		h.log.Warn("a handler was not closed cleanly", "handler", inst.entry.Name, "error", err)
	}
}
