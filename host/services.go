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
	// interceptorsGone drops the metrics of interceptors that the manifest does not have any more.
	interceptorsGone func()
}

// servicesStep opens the instances that a change adds.
type servicesStep struct {
	of         *services
	prev, next *generation
	taken      map[string]*instance // of prev, by key, that next does not have
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
			s.taken[running.instance.key()] = running.instance
		}
		for _, running := range prev.interceptors.instances {
			s.taken[running.key()] = running
		}
	}
	c := &checker{set: next.set}
	if err := s.interceptors(ctx); err != nil {
		return s, err
	}
	for i := range next.set.Manifest.Services {
		cfg := &next.set.Manifest.Services[i]
		path := fmt.Sprintf("services[%d]", i)
		inst, err := s.handler(ctx, path, cfg)
		if err != nil {
			return s, next.set.ProblemAt(path, err.Error())
		}
		problems := c.opened(path, cfg, inst)
		if problems.Err() != nil {
			return s, problems
		}
		next.warnings = append(next.warnings, problems.Warnings()...)
		bound := route.NewService(cfg, inst.service, next.interceptors.ofService(cfg.Name), &inst.RefCount)
		next.services = append(next.services, &service{Service: bound, instance: inst})
		next.routes.Services = append(next.routes.Services, bound)
	}
	return s, nil
}

// handler returns the instance for a service.
func (s *servicesStep) handler(ctx context.Context, path string, cfg *config.Service) (*instance, error) {
	entry, ok := s.of.registry.Lookup(cfg.Handler)
	if !ok {
		return nil, fmt.Errorf("handler %q is not compiled in", cfg.Handler)
	}
	inst, err := s.instance(ctx, &wanted{path, cfg.Name, "", entry, cfg.Options, s.next.bindingsOf(cfg)})
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", cfg.Name, err)
	}
	return inst, nil
}

// interceptors binds each interceptor of the manifest to an instance.
func (s *servicesStep) interceptors(ctx context.Context) error {
	s.next.interceptors.places = make(map[string][]route.Interceptor)
	for _, p := range s.next.set.Manifest.AroundPlaces() {
		for i := range p.List {
			at, name := fmt.Sprintf("%s[%d]", p.Path, i), p.List[i].Name
			entry, ok := s.of.registry.Interceptor(name)
			if !ok {
				return s.next.set.ProblemAt(at, fmt.Sprintf("interceptor %q is not compiled in", name))
			}
			inst, err := s.instance(ctx, &wanted{at, p.Service + p.Upstream, p.Name(), entry, p.List[i].Options, nil})
			if err != nil {
				return s.next.set.ProblemAt(at, err.Error())
			}
			s.next.interceptors.add(inst, s.of.metrics)
		}
	}
	return nil
}

// wanted is an instance that the manifest wants.
type wanted struct {
	path    string // in the manifest
	name    string // of the service or the upstream
	place   string // of an interceptor
	entry   *registry.Entry
	options config.RawOptions
	to      map[string]*outgoing.Upstream
}

func (s *servicesStep) instance(ctx context.Context, w *wanted) (*instance, error) {
	key := (&instance{name: w.name, place: w.place, entry: w.entry}).key()
	running := s.taken[key]
	if running != nil && running.entry == w.entry {
		if running.options.Equal(w.options) {
			delete(s.taken, key)
			return running, nil
		}
		if running.service.Reconfigurable() {
			delete(s.taken, key)
			s.tuned = append(s.tuned, &tuning{instance: running, path: w.path, next: w.options})
			return running, nil
		}
	}
	inst, err := s.of.openInstance(ctx, w)
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
					s.of.log.Error(back.instance.entry.Kind()+" failed to restore its previous options", "service", back.instance.name, "error", err)
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
	return set.ProblemAt(t.path+".options", "the "+t.instance.entry.Kind()+" rejected the changed options: "+err.Error())
}

// Commit binds the clients of the instances to the upstreams of the generation.
func (s *servicesStep) Commit(context.Context) {
	for _, bound := range s.next.services {
		bound.instance.clients.move(s.next.bindingsOf(bound.Config), s.next.interceptors.ofUpstreams(bound.Config))
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
	if s.prev.interceptors.any() {
		s.of.retiring.Go(s.of.interceptorsGone)
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

func (p *services) openInstance(ctx context.Context, w *wanted) (*instance, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	bound := new(bindings)
	bound.move(w.to, nil)
	service, err := w.entry.Open(ctx, optionsDecoder(w.options), &env{log: p.log, service: w.name, place: w.place, bindings: bound})
	if err != nil {
		return nil, err
	}
	return &instance{
		name: w.name, place: w.place, entry: w.entry, service: service, options: w.options, clients: bound, RefCount: route.NewRefCount(),
	}, nil
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
		p.log.Warn(inst.entry.Kind()+" not closed cleanly", "service", inst.name, "error", err)
	}
}
