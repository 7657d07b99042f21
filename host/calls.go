package host

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/host/traffic"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// calls serves the calls of all listeners and gateways.
type calls struct {
	*core
	recorder *recorder
}

// Handle serves one call under the generation in force when it arrives. It is the wire.Handler of every listener and
// of the gateway.
func (c *calls) Handle(ctx context.Context, req, res *wire.Frame) error {
	call := wire.CallFrom(ctx)
	if call == nil {
		call = wire.NewCall(ctx, wire.CallOptions{Transport: wire.TransportRPCX})
		defer call.End()
	}
	g, m, err := c.enter(req)
	if err != nil {
		if w := c.current.Load().window.Load(); w != nil && err.Reason != code.ReasonDraining {
			w.lost(call, req, err.Reason)
		}
		c.notServed(call, req, err)
		return err
	}
	s := servings.Get().(*serving)
	s.recorder, s.generation, s.method, s.wire, s.metrics = c.recorder, g, m, call, m.Metrics(call.Transport())
	return s.run(req, res)
}

// enter finds the method and acquires the resource that serves it. If that is retired, a newer generation has its successor.
func (c *calls) enter(req *wire.Frame) (*generation, *route.Method, *code.Error) {
	for {
		g := c.current.Load()
		m, ok := g.routes.Lookup(req.Service, req.Method)
		if !ok {
			return nil, nil, c.unknown(g, req.Service, req.Method)
		}
		if m.Calls.Acquire() {
			if m.Around.Acquire() {
				return g, m, nil
			}
			m.Calls.Release()
		}
		if c.current.Load() == g {
			return nil, nil, code.Refuse(code.Unavailable, code.ReasonDraining, "the host is shutting down", "", c.name, 0)
		}
	}
}

// maxSuggested is the number of names beyond which no suggestion is looked for.
const maxSuggested = 1000

// unknown returns the error of a call to a service or method that is not served.
func (c *calls) unknown(g *generation, service, method string) *code.Error {
	what, word, known := "unknown service "+quoteName(service), service, g.routes.Callable
	if s, ok := g.routes.Service(service); ok {
		what, word, known = "unknown method "+quoteName(service+"."+method), method, s.MethodNames
	} else if err := g.routes.Remote.Unheard(c.name, service); err != nil {
		return err
	}
	if suggestion := c.meant(word, known); suggestion != "" {
		what += " (did you mean " + suggestion + "?)"
	}
	return code.Refuse(code.Unimplemented, code.ReasonUnknownMethod, what, "", c.name, 0)
}

// meant returns the name that was probably meant, if the budget for suggestions is not used up.
func (c *calls) meant(word string, known func() []string) string {
	if !c.hints.take() {
		return ""
	}
	if names := known(); len(names) <= maxSuggested {
		return config.Suggest(word, names)
	}
	return ""
}

// noCall counts a request that never became a call, and logs the part of its error that the caller does not get.
func (c *calls) noCall(service, method string, e *code.Error) {
	c.metrics.WireError(e.Reason)
	if !e.KeepsBack() {
		return
	}
	kind := telemetry.LogKey{Subject: telemetry.LogAttrs{{"reason", e.Reason}}}
	c.sampler.Log(slog.LevelWarn, "request refused", kind, func() []slog.Attr {
		attrs := []slog.Attr{slog.Any("error", e)}
		if service != "" && method != "" {
			attrs = append(attrs, slog.String("method", quoteName(service+"."+method)))
		}
		return attrs
	})
}

// quoteName returns a name from a peer for use in texts: bounded, and without characters that break a line of a log.
func quoteName(name string) string {
	name = code.Clip(name, 64)
	quoted := strconv.Quote(name)
	if plain := quoted[1 : len(quoted)-1]; plain == name && name != "" {
		return plain
	}
	return quoted
}

// notServed counts and traces a call that reached no method.
func (c *calls) notServed(call *wire.Call, req *wire.Frame, e *code.Error) {
	metrics, took := c.metrics.Other(call.Transport()), time.Since(call.Arrived())
	here := traffic.Here()
	metrics.Done(here, e.Code, took)
	end, refused := call.Arrived().Add(took), e.Code == code.Unimplemented
	c.flows.Observe(here, metrics.Traffic(), end, took, traffic.Flow{Method: metrics.Name(), Peer: call.Peer().Unmap(), Code: e.Code, Refused: refused})
	var t telemetry.Trace
	c.tracing.Begin(&t, nil, call, req)
	t.End(e, "")
}
