package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/easymicro/easymicro/config"
)

// tuning is an instance that takes changed options while it runs.
type tuning struct {
	instance *instance
	path     string // of the service in the manifest
	next     config.RawOptions
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
	c := &checker{set: p.set}
	for i := range p.set.Manifest.Services {
		cfg := &p.set.Manifest.Services[i]
		path := fmt.Sprintf("services[%d]", i)
		inst, err := p.instance(ctx, g, path, cfg)
		if err != nil {
			return p.set.ProblemAt(path, err.Error())
		}
		s := newService(cfg, inst)
		problems := c.opened(path, cfg, inst)
		if problems.Err() != nil {
			return problems
		}
		g.warnings = append(g.warnings, problems.Warnings()...)
		g.services = append(g.services, s)
	}
	return nil
}

func (p *plan) instance(ctx context.Context, g *generation, path string, cfg *config.Service) (*instance, error) {
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
			p.tuned = append(p.tuned, &tuning{instance: running, path: path, next: cfg.Options})
			return running, nil
		}
	}
	inst, err := p.host.openInstance(ctx, cfg, entry, g.bindingsOf(cfg))
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
					p.host.log.Error("a handler does not take its former options back", "service", back.instance.name, "error", err)
				}
			}
			return t.problems(p.set, err)
		}
	}
	for _, t := range p.tuned {
		t.instance.options = t.next
	}
	return nil
}

// problems are why an instance does not take its changed options.
func (t *tuning) problems(set *config.Set, err error) error {
	var problems config.Problems
	if errors.As(err, &problems) {
		return problems
	}
	return set.ProblemAt(t.path+".options", "the handler does not take the changed options: "+err.Error())
}
