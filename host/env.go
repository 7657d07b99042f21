package host

import (
	"log/slog"

	"github.com/easymicro/easymicro/registry"
)

// env is what an instance gets from its host.
type env struct {
	log      *slog.Logger
	service  string
	bindings *bindings
}

func (e *env) Log() *slog.Logger { return e.log.With("service", e.service) }

func (e *env) Service() string { return e.service }

func (e *env) Client(name string) registry.Client { return boundClient{e.bindings, name} }
