package host

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/wire"
)

// core is what all parts of a host share.
type core struct {
	name, version string
	log           *slog.Logger
	sampler       *telemetry.LogSampler // for lines that callers can cause in any number
	metrics       *telemetry.Metrics
	tracing       *telemetry.Tracing
	budget        *wire.Budget // of all listeners

	current  atomic.Pointer[generation] // the only thing in a host that changes what calls meet
	life     context.Context            //nolint:containedctx // its end cancels the calls that are left, of whatever generation
	cut      context.CancelFunc
	retiring sync.WaitGroup // what finishes its last calls
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
