package view

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/registry"
)

// Service returns what a caller needs to know of a service. httpAddress is where HTTP is served; empty if nowhere.
func Service(g *Generation, s *route.Service, entry *registry.Entry, httpAddress string) admin.Service {
	v := admin.Service{Name: s.Config.Name, Aliases: s.Config.Aliases, Handler: s.Config.Handler, Package: entry.Package}
	for _, m := range s.Methods {
		v.Methods = append(v.Methods, method(g, entry, m, httpAddress))
	}
	for _, skipped := range s.Handler.Skipped() {
		v.Skipped = append(v.Skipped, admin.Skipped{Name: skipped.Name, Why: skipped.Why})
	}
	return v
}

func method(g *Generation, entry *registry.Entry, m *route.Method, httpAddress string) admin.Method {
	v := admin.Method{
		Name: m.Name, Args: admin.ShapeOf(m.Invoke.Args), Reply: admin.ShapeOf(m.Invoke.Reply),
		InFlight: m.InFlight(),
		Routes:   []admin.Route{{Methods: []string{"POST"}, Path: "/" + m.FullName()}},
	}
	if slices.Contains(g.Set.Manifest.Gateway.Get, m.Target.Service+"."+m.Name) {
		v.Routes[0].Methods = append(v.Routes[0].Methods, "GET")
	}
	for _, r := range g.Set.Manifest.Gateway.Routes {
		if found, ok := g.Routes.Lookup(r.Service, r.Method); ok && found == m {
			v.Routes = append(v.Routes, admin.Route{Methods: r.Methods, Path: r.Path})
		}
	}
	body, err := json.Marshal(entry.Example(m.Invoke))
	if err != nil {
		return v
	}
	v.Example = admin.Example{
		Body:    body,
		Chosen:  entry.HasExample(m.Name),
		Command: fmt.Sprintf("easymicro call %s.%s '%s'", m.Target.Service, m.Name, body),
	}
	if httpAddress != "" {
		v.Example.Curl = fmt.Sprintf("curl -d '%s' http://%s/%s", body, httpAddress, m.FullName())
	}
	return v
}
