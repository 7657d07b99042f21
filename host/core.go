package host

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/host/traffic"
	"github.com/easymicro/easymicro/wire"
)

// core holds what all parts of a host share.
type core struct {
	name, version string
	log           *slog.Logger
	sampler       *telemetry.LogSampler // for lines that callers can cause in any number
	metrics       *telemetry.Metrics
	tracing       *telemetry.Tracing
	budget        *wire.Budget // of all listeners
	flows         *traffic.Sketch
	shadows       *shadows
	hints         hints

	current  atomic.Pointer[generation] // what serves calls; each change of the set replaces it
	life     context.Context            //nolint:containedctx // its end cancels the calls that are left, of whatever generation
	cut      context.CancelFunc
	retiring sync.WaitGroup // replaced resources that finish their last calls
}

func hostName(set *config.Set) string {
	if name := set.Manifest.Host.Name; name != "" {
		return name
	}
	if name, err := os.Hostname(); err == nil {
		return name
	}
	return "localhost"
}

// pause waits for d. When ctx ends first, it returns its error.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

const (
	hintEvery = 100 * time.Millisecond // interval of suggestions for callers, which compare names
	hintBurst = 20                     // how many may be made at once
)

// began is the moment from which hints count the time, so that it does not jump when the clock of the machine is set.
var began = time.Now()

// hints bounds how often names are compared for suggestions, since callers may invent names. It may be shared.
type hints struct {
	full atomic.Int64 // when the burst is complete again, in nanoseconds since began; 0: it is
}

// take reports whether one more suggestion may be made.
func (h *hints) take() bool {
	now := int64(time.Since(began))
	for {
		full := h.full.Load()
		next := max(cmp.Or(full, now), now) + int64(hintEvery)
		if next > now+hintBurst*int64(hintEvery) {
			return false
		}
		if h.full.CompareAndSwap(full, next) {
			return true
		}
	}
}

// nearest returns the suggestion of config.Suggest, or none beyond the bound.
func (h *hints) nearest(word string, known []string) string {
	if !h.take() {
		return ""
	}
	return config.Suggest(word, known)
}
