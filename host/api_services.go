package host

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/easymicro/easymicro/host/admin"
)

// Services are what a caller needs to know of each service.
func (h *Host) Services() []admin.Service {
	list, _ := h.api().Services(context.Background())
	return list
}

// Services are what a caller needs to know of each service.
func (a api) Services(ctx context.Context) ([]admin.Service, error) {
	list := []admin.Service{}
	g := a.h.current.Load()
	for i, unready := range g.ready(ctx) {
		s := g.services[i]
		v := admin.Service{
			Name: s.config.Name, Aliases: s.config.Aliases, Handler: s.config.Handler, Package: s.instance.entry.Package,
			Ready: unready == nil,
		}
		for _, m := range s.methods {
			v.Methods = append(v.Methods, a.methodView(g, m))
		}
		for _, skipped := range s.instance.service.Skipped() {
			v.Skipped = append(v.Skipped, admin.Skipped{Name: skipped.Name, Why: skipped.Why})
		}
		list = append(list, v)
	}
	return list, nil
}

func (a api) methodView(g *generation, m *method) admin.Method {
	v := admin.Method{
		Name: m.name, Args: admin.ShapeOf(m.invoke.Args), Reply: admin.ShapeOf(m.invoke.Reply),
		InFlight: int(m.rpcx.InFlight() + m.http.InFlight()),
		Routes:   []admin.Route{{Methods: []string{"POST"}, Path: "/" + m.fullName()}},
	}
	if slices.Contains(g.set.Manifest.Gateway.Get, m.target.Service+"."+m.name) {
		v.Routes[0].Methods = append(v.Routes[0].Methods, "GET")
	}
	for _, r := range g.set.Manifest.Gateway.Routes {
		if found, ok := g.find(r.Service, r.Method); ok && found == m {
			v.Routes = append(v.Routes, admin.Route{Methods: r.Methods, Path: r.Path})
		}
	}
	entry := m.service.instance.entry
	body, err := json.Marshal(entry.Example(m.invoke))
	if err != nil {
		return v
	}
	v.Example = admin.Example{
		Body:    body,
		Chosen:  entry.HasExample(m.name),
		Command: fmt.Sprintf("easymicro call %s.%s '%s'", m.target.Service, m.name, body),
	}
	if at := a.h.HTTPAddress(); at != "" {
		v.Example.Curl = fmt.Sprintf("curl -d '%s' http://%s/%s", body, at, m.fullName())
	}
	return v
}

// HTTPAddress is where the first listener is bound that speaks HTTP over TCP; empty when there is none.
func (h *Host) HTTPAddress() string {
	for _, l := range h.current.Load().set.Manifest.Listeners {
		if !slices.Contains(l.Protocols, transportHTTP) {
			continue
		}
		if addr := h.Addr(l.Name); addr != nil && addr.Network() == "tcp" {
			return addr.String()
		}
	}
	return ""
}
