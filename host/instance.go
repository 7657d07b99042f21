package host

import (
	"context"
	"fmt"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/registry"
)

// openTimeout bounds how long a handler may take to open or to take changed options.
const openTimeout = 10 * time.Second

// An instance is an open handler. Generations that do not change it share it; it is closed after its last call when a
// newer one has taken its place.
type instance struct {
	name    string // of the service it was opened for
	entry   *registry.Entry
	service *registry.Service
	ready   readiness
	options config.RawOptions
	clients *bindings
	users
}

func (h *Host) openInstance(ctx context.Context, cfg *config.Service, entry *registry.Entry, to map[string]*upstream) (*instance, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	bound := new(bindings)
	bound.move(to)
	service, err := entry.Open(ctx, optionsDecoder(cfg.Options), &env{log: h.log, service: cfg.Name, bindings: bound})
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", cfg.Name, err)
	}
	return &instance{name: cfg.Name, entry: entry, service: service, options: cfg.Options, clients: bound, users: newUsers()}, nil
}

// optionsDecoder is nil for options that are not written, so that the handler's defaults hold.
func optionsDecoder(o config.RawOptions) func(any) error {
	if o.IsZero() {
		return nil
	}
	return func(into any) error { return o.Decode(into).Err() }
}
