package host

import (
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// trace sends spans to where the manifest says, from now on.
func (h *Host) trace(m *config.Manifest) {
	to, err := m.Telemetry.Traces.OTLP() // checked already
	if err == nil {
		err = h.tracing.Set(telemetry.Collector{GRPC: to.GRPC, TLS: to.TLS, Address: to.Address, Path: to.Path},
			float64(m.Telemetry.Traces.SampleRatio))
	}
	if err != nil {
		h.log.Warn("the tracing cannot be changed", "error", err)
	}
}

// notServed counts and traces a call that reached no method.
func (h *Host) notServed(call *wire.Call, req *wire.Frame, e *code.Error) {
	h.metrics.Other(call.Transport()).Done(e.Code, time.Since(call.Arrived()))
	var t telemetry.Trace
	h.tracing.Begin(&t, nil, call, req)
	t.End(e, "")
}

// wrapClient is the Wrap of the client of an upstream: each call gets a span, the trace of its context, and a place in
// the metrics. The empty upstream stands for all services that a gateway passes calls on to; each call then counts for
// the service that it names. The client's OnAttempt is telemetry.Attempt.
func (h *Host) wrapClient(upstream string) func(wire.Handler) wire.Handler {
	return h.tracing.Wrap(h.metrics.Upstream(upstream))
}
