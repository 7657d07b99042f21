package host

import (
	"context"
	"log/slog"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/code"
)

// env is what an instance gets from its host.
type env struct {
	log     *slog.Logger
	service string
}

func (e *env) Log() *slog.Logger { return e.log.With("service", e.service) }

func (e *env) Service() string { return e.service }

func (e *env) Client(name string) registry.Client { return noClient{name} }

// noClient stands in for the clients of upstreams, which a manifest cannot declare yet.
type noClient struct{ name string }

func (c noClient) Call(context.Context, string, any, any) error {
	return code.Remote(code.Errorf(code.Unavailable, "client %s: upstreams are not supported yet", c.name).WithReason(code.ReasonNoEndpoint))
}
