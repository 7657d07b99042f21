package host

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/gateway"
	"github.com/easymicro/easymicro/host/listen"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// gateway returns the gateway of a listener in the generation in force. A listener that is draining because the set no
// longer has it gets that of another: they differ in their limits alone.
func (h *Host) gateway(listener string) http.Handler {
	gateways := h.current.Load().gateways
	gw, ok := gateways[listener]
	if !ok {
		for _, gw = range gateways {
			break
		}
	}
	return gw
}

// newGateways makes the gateways of a generation, one for each listener.
func (h *Host) newGateways(g *generation) error {
	g.gateways = make(map[string]*gateway.Gateway)
	for _, l := range g.set.Manifest.Listeners {
		gw, err := h.newGateway(g, listen.Limits(l.Limits))
		if err != nil {
			return err
		}
		g.gateways[l.Name] = gw
	}
	return nil
}

func (h *Host) newGateway(g *generation, limits wire.Limits) (*gateway.Gateway, error) {
	o := gatewayOptions(g.set.Manifest)
	o.Handler, o.Limits, o.Host, o.Logger, o.Refused = h, limits, h.name, h.sampler.Logger(), h.noCall
	o.Resolve = func(service, method string) (gateway.Target, bool) {
		found, ok := g.lookup(service, method)
		if !ok {
			return gateway.Target{}, false
		}
		t := gateway.Target{Service: found.target.Service, Method: found.target.Method}
		if found.invoke != nil {
			t.Args = found.invoke.Args
		}
		return t, true
	}
	o.Remote = remoteServices(g.set.Manifest)
	o.Unknown = func(service, method string) *code.Error { return h.unknown(g, service, method) }
	o.Nearest = h.hints.nearest
	gw, err := gateway.New(o)
	return gw, gatewayError(g.set, err)
}

// gatewayOptions are those that the manifest gives.
func gatewayOptions(m *config.Manifest) gateway.Options {
	trusted := listen.ParsePeers(m.Auth.TrustedProxies)
	o := gateway.Options{
		Metadata:       m.Gateway.Metadata,
		Get:            m.Gateway.Get,
		AllowOrigins:   m.Gateway.CORS.AllowOrigins,
		ExposeInternal: m.Gateway.Errors.ExposeInternal,
		TrustedProxies: trusted.Networks,
		TrustUnix:      trusted.Unix,
		RejectUnknown:  m.Gateway.UnknownFields == config.UnknownReject,
		AnswersTo:      func(host string) bool { return admin.NamesThisMachine(host, m.Gateway.Hosts...) },
	}
	for _, r := range m.Gateway.Routes {
		o.Routes = append(o.Routes, gateway.Route{Path: r.Path, Methods: r.Methods, Service: r.Service, Method: r.Method})
	}
	return o
}

// gatewayError gives what a gateway says of its options their places in the manifest.
func gatewayError(set *config.Set, err error) error {
	var wrong gateway.OptionErrors
	if !errors.As(err, &wrong) {
		return err
	}
	var problems config.Problems
	for _, p := range wrong {
		problems = append(problems, set.ProblemAt(p.Path, p.Message)...)
	}
	return problems
}

// noCall counts a request that never became a call, and logs what its caller is not told.
func (h *Host) noCall(service, method string, e *code.Error) {
	h.metrics.WireError(e.Reason)
	if !e.KeepsBack() {
		return
	}
	kind := telemetry.LogKey{Subject: telemetry.LogAttrs{{"reason", e.Reason}}}
	h.sampler.Log(slog.LevelWarn, "request refused", kind, func() []slog.Attr {
		attrs := []slog.Attr{slog.Any("error", e)}
		if service != "" && method != "" {
			attrs = append(attrs, slog.String("method", quoteName(service+"."+method)))
		}
		return attrs
	})
}

// quoteName shows a name that came from a peer: bounded, and without what could break a line of a log.
func quoteName(name string) string {
	name = code.Clip(name, 64)
	quoted := strconv.Quote(name)
	if plain := quoted[1 : len(quoted)-1]; plain == name && name != "" {
		return plain
	}
	return quoted
}

// newOperators makes the handlers for operators of a generation. What only a start changes stays.
func (h *Host) newOperators(g *generation) error {
	token, err := AdminToken(g.set)
	if err != nil {
		return err
	}
	o := admin.Options{
		Logger: h.log, MetricsPath: g.set.Manifest.Telemetry.Metrics.Path, Pprof: h.first.Manifest.Admin.PProf,
		Token: token,
	}
	g.admin = admin.Handler(h.api(), o)
	g.health = admin.HealthHandler(h.api(), o)
	return nil
}

// AdminToken is the bearer token of the operators as it stood in its file when the set was read; empty without one.
func AdminToken(set *config.Set) (string, error) {
	return secret(set, "admin.tokenFile", set.Manifest.Admin.TokenFile)
}
