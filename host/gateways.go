package host

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/credentials"
	"github.com/easymicro/easymicro/host/gateway"
	"github.com/easymicro/easymicro/host/listen"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// gateways plans the HTTP handlers of a generation: one gateway for each listener, admin and health.
type gateways struct {
	*core
	calls *calls
	admin admin.Host
	pprof bool // as the host was started with
}

// gateway returns the gateway of a listener in the generation in force. A listener that is draining because the set no
// longer has it gets another one: they differ in their limits alone.
func (p *gateways) gateway(listener string) http.Handler {
	gateways := p.current.Load().gateways
	gw, ok := gateways[listener]
	if !ok {
		for _, gw = range gateways {
			break
		}
	}
	return gw
}

// plan makes the gateways of a generation, one for each listener, and its admin and health handlers.
func (p *gateways) plan(_ context.Context, _, next *generation) (step, error) {
	next.gateways = make(map[string]*gateway.Gateway)
	for _, l := range next.set.Manifest.Listeners {
		gw, err := p.newGateway(next, listen.Limits(l.Limits))
		if err != nil {
			return nil, err
		}
		next.gateways[l.Name] = gw
	}
	token, err := AdminToken(next.set)
	if err != nil {
		return nil, err
	}
	o := admin.Options{
		Logger: p.log, MetricsPath: next.set.Manifest.Telemetry.Metrics.Path, Pprof: p.pprof,
		Token: token, Refused: p.refusedOperator,
	}
	if next.set.Manifest.Admin.Tokens != nil {
		o.Tokens = append([]config.AdminToken{}, next.set.Operators...) // not nil: without tokens nobody is an operator
	}
	next.admin = admin.Handler(p.admin, o)
	next.health = admin.HealthHandler(p.admin, o)
	return nil, nil
}

// refusedOperator logs a request that may not use the admin API.
func (p *gateways) refusedOperator(peer, operator string, e *admin.Error) {
	kind := telemetry.LogKey{
		Subject: telemetry.LogAttrs{{"code", e.Code}, {"operator", operator}}, Source: telemetry.LogAttrs{{"peer", peer}},
	}
	p.sampler.Log(slog.LevelWarn, "admin request refused", kind, func() []slog.Attr { return []slog.Attr{slog.String("error", e.Detail)} })
}

func (p *gateways) newGateway(g *generation, limits wire.Limits) (*gateway.Gateway, error) {
	o := gatewayOptions(g.set.Manifest)
	o.Handler, o.Limits, o.Host, o.Logger, o.Refused = p.calls, limits, p.name, p.sampler.Logger(), p.calls.noCall
	o.Resolve = func(service, method string) (gateway.Target, bool) {
		found, ok := g.routes.Lookup(service, method)
		if !ok {
			return gateway.Target{}, false
		}
		t := gateway.Target{Service: found.Target.Service, Method: found.Target.Method}
		if found.Invoke != nil {
			t.Args = found.Invoke.Args
		}
		return t, true
	}
	o.Remote = route.RemoteServices(g.set.Manifest)
	o.Unknown = func(service, method string) *code.Error { return p.calls.unknown(g, service, method) }
	o.Nearest = p.hints.nearest
	o.Missed = func(r *http.Request) {
		if w := g.window.Load(); w != nil {
			w.missed(r)
		}
	}
	gw, err := gateway.New(o)
	return gw, gatewayError(g.set, err)
}

// gatewayOptions returns the options that the manifest sets.
func gatewayOptions(m *config.Manifest) gateway.Options {
	trusted := listen.ParsePeers(m.Auth.TrustedProxies)
	o := gateway.Options{
		Metadata:       m.Gateway.Metadata,
		Get:            m.Gateway.Get,
		AllowOrigins:   m.Gateway.CORS.AllowOrigins,
		ExposeInternal: m.Gateway.Errors.ExposeInternal,
		TrustedProxies: trusted.Networks,
		TrustUnix:      trusted.Unix,
		JSONRPC:        m.Gateway.JSONRPC.Path,
		RejectUnknown:  m.Gateway.UnknownFields == config.UnknownReject,
		AnswersTo:      func(host string) bool { return admin.NamesThisMachine(host, m.Gateway.Hosts...) },
	}
	for _, r := range m.Gateway.Routes {
		o.Routes = append(o.Routes, gateway.Route{Path: r.Path, Methods: r.Methods, Service: r.Service, Method: r.Method})
	}
	return o
}

// gatewayError returns the problems of a gateway with their positions in the manifest.
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

// AdminToken returns the bearer token for the admin listener, from its file as it was when the set was read; empty
// without one.
func AdminToken(set *config.Set) (string, error) {
	return credentials.Secret(set, "admin.tokenFile", set.Manifest.Admin.TokenFile)
}
