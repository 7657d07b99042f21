package host

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/registry"
)

// openTimeout bounds how long a handler may take to open or to take changed options.
const openTimeout = 10 * time.Second

// retired is what an instance's count of calls is lowered by once no new call may enter.
const retired = math.MinInt64 / 2

// An instance is an open handler. Generations that do not change it share it; it is closed after its last call when a
// newer one has taken its place.
type instance struct {
	name    string // of the service it was opened for
	entry   *registry.Entry
	service *registry.Service
	ready   readiness
	options config.RawOptions
	calls   atomic.Int64
	last    sync.Once
	drained chan struct{}
}

func (h *Host) openInstance(ctx context.Context, cfg *config.Service, entry *registry.Entry) (*instance, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	service, err := entry.Open(ctx, optionsDecoder(cfg.Options), &env{log: h.log, service: cfg.Name})
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", cfg.Name, err)
	}
	return &instance{name: cfg.Name, entry: entry, service: service, options: cfg.Options, drained: make(chan struct{})}, nil
}

// optionsDecoder is nil for options that are not written, so that the handler's defaults hold.
func optionsDecoder(o config.RawOptions) func(any) error {
	if o.IsZero() {
		return nil
	}
	return func(into any) error { return o.Decode(into).Err() }
}

// acquire lets a call in; false when the instance is being retired and a newer generation has its successor.
func (i *instance) acquire() bool {
	if i.calls.Add(1) > 0 {
		return true
	}
	i.release()
	return false
}

func (i *instance) release() { i.count(-1) }

// retire lets no more calls in.
func (i *instance) retire() { i.count(retired) }

func (i *instance) count(n int64) {
	if i.calls.Add(n) == retired {
		// A call that was turned away may be counted after the last one has gone.
		i.last.Do(func() { close(i.drained) })
	}
}

// wait returns after the last call of a retired instance, or when ctx ends.
func (i *instance) wait(ctx context.Context) {
	select {
	case <-i.drained:
	case <-ctx.Done():
	}
}

func (i *instance) inFlight() int {
	n := i.calls.Load()
	if n < 0 {
		n -= retired
	}
	return int(n)
}
