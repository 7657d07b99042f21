package host

import (
	"context"
	"math"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/machine"
	"github.com/easymicro/easymicro/host/telemetry"
)

// settings applies the settings of logs, traces, the budget and the heap.
type settings struct {
	*core
	logLevel *telemetry.LogControl // nil: the log does not follow the manifest
	heap     *machine.Heap         // nil: the heap does not follow the manifest
}

func (p *settings) plan(_ context.Context, _, next *generation) (step, error) {
	return commitOnly(func(context.Context) { p.apply(next.set.Manifest) }), nil
}

func (p *settings) apply(m *config.Manifest) {
	p.limit(m.Host.Limits)
	if p.heap != nil {
		p.heap.Set(heapOf(m.Host.Memory))
	}
	if logs := m.Telemetry.Logs; p.logLevel != nil {
		if err := p.logLevel.Set(logs.Level, logs.Format); err != nil {
			p.log.Warn("cannot change the log settings", "error", err)
		}
	}
	p.trace(m)
}

// limit sets the limits of the budget. The default limit of memory is a quarter of what the process may use.
func (p *settings) limit(l config.HostLimits) {
	bytes := int64(l.MaxBufferedBytes)
	if bytes == 0 {
		bytes = machine.Memory() / 4
	}
	p.budget.SetLimits(l.MaxInFlight, bytes)
}

// minHeap is the default floor of the heap on a machine with enough memory.
const minHeap = 64 << 20

// heapOf returns the floor of the heap and the memory limit of a host; 0 is none.
func heapOf(m config.HostMemory) (floor, limit int64) {
	floor = minHeap
	switch all := machine.Memory(); {
	case m.MinHeap != nil:
		floor = int64(*m.MinHeap)
	case all > 0:
		floor = min(floor, all/8)
	}
	switch m.Limit {
	case config.MemoryLimitAuto:
		return floor, machine.Limit() / 10 * 9
	case config.MemoryLimitOff:
		return floor, math.MaxInt64
	}
	return floor, int64(m.Limit)
}

// trace sets where spans are sent from now on.
func (p *settings) trace(m *config.Manifest) {
	to, err := m.Telemetry.Traces.OTLP() // checked already
	if err == nil {
		err = p.tracing.Set(telemetry.Collector{GRPC: to.GRPC, TLS: to.TLS, Address: to.Address, Path: to.Path},
			float64(m.Telemetry.Traces.SampleRatio))
	}
	if err != nil {
		p.log.Warn("cannot change the trace settings", "error", err)
	}
}
