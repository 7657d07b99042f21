package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/outgoing"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/registry"
)

// tuning is an instance that takes changed options while it runs.
type tuning struct {
	instance *instance
	path     string // of the service in the manifest
	next     config.RawOptions
}

// services plans the open handlers.
type services struct {
	*core
	registry    *registry.Registry
	methodsGone func()
}

// servicesStep opens the instances that a change adds.
type servicesStep struct {
	of         *services
	prev, next *generation
	taken      map[string]*instance // of prev, by service, that next does not have
	opened     []*instance
	tuned      []*tuning
	abandoned  bool
}

// plan binds every service to an instance: the running one if nothing changed or it can take changed options, or else
// a new one.
func (p *services) plan(ctx context.Context, prev, next *generation) (step, error) {
	s := &servicesStep{of: p, prev: prev, next: next, taken: make(map[string]*instance)}
	if prev != nil {
		for _, running := range prev.services {
			s.taken[running.Config.Name] = running.instance
		}
	}
	c := &checker{set: next.set}
	for i := range next.set.Manifest.Services {
		cfg := &next.set.Manifest.Services[i]
		path := fmt.Sprintf("services[%d]", i)
		inst, err := s.instance(ctx, path, cfg)
		if err != nil {
			return s, next.set.ProblemAt(path, err.Error())
		}
		problems := c.opened(path, cfg, inst)
		if problems.Err() != nil {
			return s, problems
		}
		next.warnings = append(next.warnings, problems.Warnings()...)
		bound := route.NewService(cfg, inst.service, &inst.RefCount)
		next.services = append(next.services, &service{Service: bound, instance: inst})
		next.routes.Services = append(next.routes.Services, bound)
	}
	return s, nil
}

func (s *servicesStep) instance(ctx context.Context, path string, cfg *config.Service) (*instance, error) {
	entry, ok := s.of.registry.Lookup(cfg.Handler)
	if !ok {
		return nil, fmt.Errorf("handler %q is not compiled in", cfg.Handler)
	}
	running := s.taken[cfg.Name]
	if running != nil && running.entry == entry {
		if running.options.Equal(cfg.Options) {
			delete(s.taken, cfg.Name)
			return running, nil
		}
		if running.service.Reconfigurable() {
			delete(s.taken, cfg.Name)
			s.tuned = append(s.tuned, &tuning{instance: running, path: path, next: cfg.Options})
			return running, nil
		}
	}
	inst, err := s.of.openInstance(ctx, cfg, entry, s.next.bindingsOf(cfg))
	if err != nil {
		return nil, err
	}
	s.opened = append(s.opened, inst)
	return inst, nil
}

// prepare gives running instances their changed options. If one refuses, those before it get their old ones back.
func (s *servicesStep) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	for i, t := range s.tuned {
		if _, err := t.instance.service.Reconfigure(ctx, optionsDecoder(t.next)); err != nil {
			for _, back := range s.tuned[:i] {
				if _, err := back.instance.service.Reconfigure(ctx, optionsDecoder(back.instance.options)); err != nil {
					s.of.log.Error("handler failed to restore its previous options", "service", back.instance.name, "error", err)
				}
			}
			return t.problems(s.next.set, err)
		}
	}
	for _, t := range s.tuned {
		t.instance.options = t.next
	}
	return nil
}

// problems returns why an instance does not take its changed options.
func (t *tuning) problems(set *config.Set, err error) error {
	var problems config.Problems
	if errors.As(err, &problems) {
		return problems
	}
	return set.ProblemAt(t.path+".options", "the handler rejected the changed options: "+err.Error())
}

// Commit binds the clients of the instances to the upstreams of the generation.
func (s *servicesStep) Commit(context.Context) {
	for _, bound := range s.next.services {
		bound.instance.clients.move(s.next.bindingsOf(bound.Config))
	}
}

func (s *servicesStep) Abandon() { s.abandoned = true }

// Retire closes each instance after its last call, and drops the metrics of removed methods after their last calls
// have counted.
func (s *servicesStep) Retire(life context.Context, _ <-chan struct{}) {
	var retiring sync.WaitGroup
	defer retiring.Wait()
	instances := slices.Collect(maps.Values(s.taken))
	if s.abandoned {
		instances = s.opened
	}
	for _, inst := range instances {
		retiring.Go(func() { s.of.discard(life, inst) })
	}
	if s.abandoned || s.prev == nil {
		return
	}
	if gone := s.prev.routes.Without(&s.next.routes); len(gone) > 0 {
		s.of.retiring.Go(func() { // the upstreams of the instances do not wait for it
			if lastCalls(life, gone) {
				s.of.methodsGone()
			}
		})
	}
}

// lastCalls waits until no call of the methods is left. It returns false when life ends first. It polls: an instance
// counts the calls of all of its methods together, and a count for each would cost every call.
func lastCalls(life context.Context, gone []*route.Method) bool {
	const interval = 20 * time.Millisecond
	for _, m := range gone {
		for m.InFlight() > 0 {
			if pause(life, interval) != nil {
				return false
			}
		}
	}
	return true
}

const (
	// openTimeout bounds how long a handler may take to open or to take changed options.
	openTimeout = 10 * time.Second
	// closeTimeout bounds how long a handler may take to close.
	closeTimeout = 5 * time.Second
)

func (p *services) openInstance(ctx context.Context, cfg *config.Service, entry *registry.Entry, to map[string]*outgoing.Upstream) (*instance, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	bound := new(bindings)
	bound.move(to)
	service, err := entry.Open(ctx, optionsDecoder(cfg.Options), &env{log: p.log, service: cfg.Name, bindings: bound})
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", cfg.Name, err)
	}
	return &instance{name: cfg.Name, entry: entry, service: service, options: cfg.Options, clients: bound, RefCount: route.NewRefCount()}, nil
}

// discard closes an instance after its last call. Its handler gets its time to close even if the host ends.
func (p *services) discard(life context.Context, inst *instance) {
	inst.Drain(life)
	closing, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	p.close(closing, inst)
}

func (p *services) close(ctx context.Context, inst *instance) {
	if err := inst.service.Close(ctx); err != nil {
		p.log.Warn("handler not closed cleanly", "service", inst.name, "error", err)
	}
}
