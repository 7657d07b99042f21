package telemetry

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/easymicro/easymicro/host/telemetry/otlptest"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// peer is the remote end of a client. It records the requests it receives.
type peer struct {
	err  error
	got  []wire.Metadata
	seen func(ctx context.Context)
}

func (p *peer) Handle(ctx context.Context, req, _ *wire.Frame) error {
	p.got = append(p.got, append(wire.Metadata(nil), req.Metadata...))
	if p.seen != nil {
		p.seen(ctx)
	}
	return p.err
}

func (p *peer) last() string {
	m := p.got[len(p.got)-1]
	return strings.TrimSpace(m.Get("traceparent") + " " + m.Get("tracestate"))
}

func TestAnOutgoingCallIsPartOfTheCallersTrace(t *testing.T) {
	c := otlptest.HTTP(t)
	x := newTraced(t, c.URL, 0)
	far := &peer{err: code.Remote(code.Refuse(code.ResourceExhausted, code.ReasonRateLimited, "full", "quota@r2", "billing-3", 0))}
	far.seen = func(ctx context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		Attempt(ctx, "10.0.0.5:8972", code.Remote(code.Errorf(code.Unavailable, "gone").WithReason(code.ReasonConnectionLost)))
		Attempt(ctx, "/run/billing.sock", nil)
		Attempt(ctx, "10.0.0.6:8972", far.err)
	}
	out := x.Wrap(x.metrics.Upstream("billing"))(far)
	x.serve(mul, request("traceparent", sampledOne, "tracestate", "v=1"), nil, func(ctx context.Context) {
		_ = out.Handle(ctx, &wire.Frame{Service: "Billing", Method: "Get"}, new(wire.Frame))
		Attempt(ctx, "10.9.9.9:1", nil) // without a client: the server's span has no attempts
	})
	x.end()
	spans := c.Wait(2)
	s, server := spans[0], spans[1]
	if s.Kind == "SERVER" {
		s, server = server, s
	}
	if s.Name != "Billing/Get" || s.Kind != "CLIENT" || s.Parent != server.ID || s.Trace != someTrace || !s.Error || s.Service != "Arith" ||
		len(server.Events) != 0 {
		t.Errorf("%+v under %+v", s, server)
	}
	expectAll(t, s.Attributes, map[string]string{
		"rpc.system.name": "rpcx", "rpc.method": "Billing/Get", "rpc.status_code": "RESOURCE_EXHAUSTED", "easymicro.upstream": "billing",
		"easymicro.rule": "quota@r2", "easymicro.reason": "rate_limited", "easymicro.host": "billing-3",
		"server.address": "10.0.0.6", "server.port": "8972", "network.transport": "tcp",
	})
	if len(s.Events) != 3 || s.Events[0].Attributes["easymicro.reason"] != "connection_lost" ||
		s.Events[1].Attributes["server.address"] != "/run/billing.sock" || s.Events[1].Attributes["rpc.status_code"] != "OK" {
		t.Errorf("%+v", s.Events)
	}
	if want := "00-" + someTrace + "-" + s.ID + "-01 v=1"; far.last() != want {
		t.Errorf("sent %q, want %q", far.last(), want)
	}
}

func TestAnUnrecordedTraceIsPropagated(t *testing.T) {
	off := newTraced(t, "", 0)
	on := newTraced(t, otlptest.HTTP(t).URL, 0)
	for _, tc := range []struct {
		name string
		x    *traced
		in   []string
		want string
	}{
		{"nothing, off", off, nil, ""},
		{"nonsense, off", off, []string{"traceparent", "nonsense", "tracestate", "v=1"}, ""},
		{"sampled elsewhere, off", off, []string{"traceparent", sampledOne, "tracestate", "v=1"}, sampledOne + " v=1"},
		{"not sampled, off", off, []string{"traceparent", ignoredOne}, ignoredOne},
		{"not sampled, on", on, []string{"traceparent", ignoredOne, "tracestate", "bad\nstate=1"}, ignoredOne},
		{"a later version", on, []string{"traceparent", "01" + ignoredOne[2:] + "-more"}, ignoredOne},
	} {
		far := new(peer)
		tc.x.serve(mul, request(tc.in...), nil, func(ctx context.Context) {
			_ = tc.x.Wrap(tc.x.metrics.Upstream("u"))(far).Handle(ctx, &wire.Frame{Service: "S", Method: "M"}, nil)
		})
		if far.last() != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, far.last(), tc.want)
		}
	}
}

func TestDownstreamHostsFollowTheFirstSamplingDecision(t *testing.T) {
	x := newTraced(t, otlptest.HTTP(t).URL, 0)
	far := new(peer)
	out := x.Wrap(x.metrics.Upstream("u"))(far)
	x.serve(mul, request(), nil, func(ctx context.Context) {
		_ = out.Handle(ctx, &wire.Frame{Service: "S", Method: "M"}, nil)
		_ = out.Handle(ctx, &wire.Frame{Service: "S", Method: "M"}, nil)
	})
	_ = out.Handle(context.Background(), &wire.Frame{Service: "S", Method: "M"}, nil)
	var seen []string
	for _, m := range far.got {
		r, ok := parseTraceparent(m.Get("traceparent"))
		if !ok || r.flags.IsSampled() {
			t.Errorf("sent %q", m.Get("traceparent"))
		}
		seen = append(seen, r.trace.String())
	}
	if seen[0] != seen[1] || seen[0] == seen[2] {
		t.Errorf("traces %v", seen)
	}
}

func TestARootCallBeginsATrace(t *testing.T) {
	c := otlptest.HTTP(t)
	x := newTraced(t, c.URL, 1)
	far := new(peer)
	_ = x.Wrap(x.metrics.Upstream("u"))(far).Handle(context.Background(), &wire.Frame{Service: "S", Method: "M"}, nil)
	x.end()
	if s := c.Wait(1)[0]; s.Parent != "" || s.Service != "orders-1" || far.last() != "00-"+s.Trace+"-"+s.ID+"-01" {
		t.Errorf("%+v, sent %q", s, far.last())
	}
}

func TestAHandlersSpanIsTheParentOfItsCalls(t *testing.T) {
	c := otlptest.HTTP(t)
	x := newTraced(t, c.URL, 1)
	out := x.Wrap(x.metrics.Upstream("u"))(new(peer))
	x.serve(mul, request(), nil, func(ctx context.Context) {
		ctx, inner := trace.SpanFromContext(ctx).TracerProvider().Tracer("a handler").Start(ctx, "inner")
		defer inner.End()
		_ = out.Handle(ctx, &wire.Frame{Service: "S", Method: "M"}, nil)
	})
	x.end()
	byName := map[string]otlptest.Span{}
	for _, s := range c.Wait(3) {
		byName[s.Name] = s
	}
	if inner := byName["inner"]; byName["S/M"].Parent != inner.ID || inner.Parent != byName["Arith/Mul"].ID || inner.ID == "" {
		t.Errorf("%+v", byName)
	}
}

func TestThePairsOfAForwardedRequestAreNotModified(t *testing.T) {
	x := newTraced(t, otlptest.HTTP(t).URL, 1)
	far := new(peer)
	in := request("a", "b", "traceparent", sampledOne, "tracestate", "v=1")
	x.serve(RemoteOperation("S/M"), in, nil, func(ctx context.Context) {
		before := append(wire.Metadata(nil), in.Metadata...)
		out := *in
		_ = x.Wrap(x.metrics.Upstream(""))(far).Handle(ctx, &out, nil)
		for i := range before {
			if in.Metadata[i] != before[i] {
				t.Errorf("%v became %v", before[i], in.Metadata[i])
			}
		}
		if far.last() == in.Metadata.Get("traceparent")+" v=1" || far.got[0].Get("a") != "b" {
			t.Errorf("sent %v", far.got)
		}
	})
}

func TestCallsToUpstreamsAreCountedAndTimed(t *testing.T) {
	x := newTraced(t, "", 0)
	call := func(u *UpstreamMetrics, service, method string, err error) {
		_ = x.Wrap(u)(&peer{err: err}).Handle(context.Background(), &wire.Frame{Service: service, Method: method}, nil)
	}
	u := x.metrics.Upstream("billing")
	call(u, "Billing", "Get", nil)
	call(u, "Billing", "Get", nil)
	call(u, "Billing", "List", code.Errorf(code.NotFound, "no"))
	text := scrape(t, x.metrics)
	for _, want := range []string{
		`rpc_client_call_duration_seconds_count{rpc_method="Billing/Get",rpc_status_code="OK",rpc_system_name="rpcx",upstream="billing"} 2`,
		`rpc_client_call_duration_seconds_count{rpc_method="Billing/List",rpc_status_code="NOT_FOUND",rpc_system_name="rpcx",upstream="billing"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	if x.metrics.Upstream("billing") != u {
		t.Error("an upstream of the same name counts apart")
	}
	x.metrics.RetainUpstreams(func(name string) bool { return name != "billing" })
	call(u, "Billing", "Get", nil)
	call(u, "Billing", "New", nil)
	if text := scrape(t, x.metrics); strings.Contains(text, "billing") {
		t.Error("the series of a removed upstream remain")
	}
	call(x.metrics.Upstream("billing"), "Billing", "Get", nil)
	if text := scrape(t, x.metrics); !strings.Contains(text, `upstream="billing"} 1`) {
		t.Error("an upstream that came back does not count")
	}
}

func TestNamesMadeUpByGatewayCallersCreateNoSeries(t *testing.T) {
	x := newTraced(t, "", 0)
	u := x.metrics.Upstream("")
	call := func(service, method string, err error) {
		_ = x.Wrap(u)(&peer{err: err}).Handle(context.Background(), &wire.Frame{Service: service, Method: method}, nil)
	}
	unheard := code.Refuse(code.Unimplemented, code.ReasonUnknownMethod, "no", "", "h", 0)
	for _, spelling := range []string{"Mul", "mul", "MUL", "mUl"} {
		call("Arith", spelling, nil)
		call("Arith", spelling+"x", unheard)
		call("Nobody"+spelling, "M", unheard)
	}
	text := scrape(t, x.metrics)
	for want, n := range map[string]int{
		`rpc_client_call_duration_seconds_count{`: 2, "Mulx": 0, "Nobody": 0,
		`_count{rpc_method="Arith/Mul",rpc_status_code="OK",rpc_system_name="rpcx",upstream="Arith"} 4`:          1,
		`_count{rpc_method="_OTHER",rpc_status_code="UNIMPLEMENTED",rpc_system_name="rpcx",upstream="_OTHER"} 8`: 1,
	} {
		if got := strings.Count(text, want); got != n {
			t.Errorf("%s occurs %d times, not %d", want, got, n)
		}
	}
}

func TestMethodsBeyondTheBoundShareOneSeries(t *testing.T) {
	x := newTraced(t, "", 0)
	u := x.metrics.Upstream("u")
	for i := range maxClientMethods + 50 {
		u.done("S", "M"+string(rune('一'+i)), nil, time.Now(), time.Millisecond)
	}
	text := scrape(t, x.metrics)
	if n := strings.Count(text, "rpc_client_call_duration_seconds_count{"); n != maxClientMethods+1 {
		t.Errorf("%d series", n)
	}
	if !strings.Contains(text, `rpc_method="_OTHER",rpc_status_code="OK",rpc_system_name="rpcx",upstream="u"} 50`) {
		t.Error("the rest is not counted")
	}
}
