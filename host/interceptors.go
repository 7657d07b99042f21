package host

import (
	"context"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/registry"
)

// interceptors are the open interceptors of a generation.
type interceptors struct {
	instances []*instance
	places    map[string][]route.Interceptor
}

// any reports whether there are any.
func (s *interceptors) any() bool { return len(s.instances) > 0 }

// add adds an instance at its place.
func (s *interceptors) add(inst *instance, metrics *telemetry.Metrics) {
	s.instances = append(s.instances, inst)
	s.places[inst.place] = append(s.places[inst.place], route.Interceptor{
		Name: inst.entry.Name, BeforeRules: inst.entry.BeforeRules(), Service: inst.service, Calls: &inst.RefCount,
		Metrics: metrics.Interceptor(inst.entry.Name, inst.place),
	})
}

// has reports whether an interceptor is at a place.
func (s *interceptors) has(name, place string) bool {
	for i := range s.places[place] {
		if s.places[place][i].Name == name {
			return true
		}
	}
	return false
}

// ofService returns the interceptors around the calls of a service: those of all services come first.
func (s *interceptors) ofService(name string) *route.Around {
	all := s.places[(&config.AroundPlace{}).Name()]
	return route.NewAround("", append(all[:len(all):len(all)], s.places[(&config.AroundPlace{Service: name}).Name()]...))
}

// ofUpstreams returns the interceptors around calls to the upstreams of a service, by client; nil: there are none.
func (s *interceptors) ofUpstreams(cfg *config.Service) map[string]*route.Around {
	var all map[string]*route.Around
	for client, upstream := range cfg.Uses {
		if list := s.places[(&config.AroundPlace{Upstream: upstream}).Name()]; len(list) > 0 {
			if all == nil {
				all = make(map[string]*route.Around, len(cfg.Uses))
			}
			all[client] = route.NewAround(upstream, list)
		}
	}
	return all
}

// intercepted calls an upstream within interceptors.
func intercepted(ctx context.Context, around *route.Around, u *route.Successor, method string, args, reply any) error {
	inside := &registry.Invocation{
		Service: u.Service, Method: method, Upstream: around.Upstream, Caller: registry.Caller(ctx),
		Metadata: registry.OutgoingMetadata(ctx), ReplyMetadata: new(registry.Pairs), Args: args, Reply: reply,
	}
	into := registry.ReplyOf(ctx)
	err := around.Through(ctx, inside, func(ctx context.Context) error {
		return call(registry.WithReplyOf(ctx, inside.ReplyMetadata), u, method, inside.Args, reply)
	})
	for _, pair := range *inside.ReplyMetadata {
		into.Set(pair[0], pair[1])
	}
	return err
}
