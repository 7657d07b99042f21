package host

import (
	"context"
	"strings"
	"sync/atomic"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
)

// bindings are the upstreams that the clients of one instance lead to, by the handler's names for them. An instance keeps
// its clients for its life; a change of the manifest moves what they lead to.
type bindings struct {
	to atomic.Pointer[map[string]*upstream]
}

// bindingsOf are what the manifest gives a service.
func (g *generation) bindingsOf(s *config.Service) map[string]*upstream {
	to := make(map[string]*upstream, len(s.Uses))
	for name, u := range s.Uses {
		to[name] = g.upstreams[u]
	}
	return to
}

func (b *bindings) move(to map[string]*upstream) { b.to.Store(&to) }

// boundClient is one of them.
type boundClient struct {
	bindings *bindings
	name     string
}

// Call calls the upstream that the manifest binds the client to when the call begins.
func (c boundClient) Call(ctx context.Context, method string, args, reply any) error {
	u, err := c.enter()
	if err != nil {
		return err
	}
	defer u.release()
	var answered wire.Metadata
	err = u.client.Call(ctx, u.made.config.Service, method, args, reply, metadataOptions(ctx, &answered)...)
	for into := registry.ReplyOf(ctx); len(answered) > 0; answered = answered[1:] {
		if key := answered[0][0]; travels(key) {
			into.Set(key, answered[0][1])
		}
	}
	return err
}

// metadataOptions are the metadata that a handler gave its call.
func metadataOptions(ctx context.Context, answered *wire.Metadata) []client.CallOption {
	pairs := registry.OutgoingMetadata(ctx)
	o := make([]client.CallOption, 0, len(pairs)+1)
	for _, pair := range pairs {
		if travels(pair[0]) {
			o = append(o, client.Metadata(pair[0], pair[1]))
		}
	}
	return append(o, client.ReplyMetadata(answered))
}

// travels tells whether metadata is of handlers: names of the protocol are the client's own.
func travels(key string) bool {
	return key == wire.MetaAuth || !strings.HasPrefix(key, "__") && !strings.HasPrefix(key, "x-em-") && key != wire.MetaErrorEasymicro
}

// enter finds the upstream and holds it. One that is being retired has a successor, which is looked up.
func (c boundClient) enter() (*upstream, error) {
	for {
		to := c.bindings.to.Load()
		u := (*to)[c.name]
		if u == nil {
			return nil, c.unavailable("client %s is bound to no upstream").WithAdvice("say services[].uses")
		}
		if u.acquire() {
			return u, nil
		}
		if c.bindings.to.Load() == to {
			return nil, c.unavailable("client %s is closed: the host is ending")
		}
	}
}

// unavailable is the error of a call that goes nowhere. It speaks of the upstream, not of the call that is served.
func (c boundClient) unavailable(format string) *code.Error {
	return code.Remote(code.Errorf(code.Unavailable, format, c.name).WithReason(code.ReasonNoEndpoint))
}
