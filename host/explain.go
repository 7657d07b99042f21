package host

import (
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
)

func explain(g *generation, q admin.ExplainQuery) (*admin.Explanation, error) {
	if q.Upstream != "" {
		return explainUpstream(g, q.Upstream, q.Method, q.Caller)
	}
	m, ok := g.routes.Lookup(q.Service, q.Method)
	if !ok && g.out.Upstream(q.Service) != nil {
		return explainUpstream(g, q.Service, q.Method, q.Caller)
	}
	if !ok {
		return nil, notFound(g, q.Service, q.Method)
	}
	caller := q.Caller
	if caller == "" {
		caller = anonymous
	}
	x := g.policies.Explain(m.Target, caller, q.Peer)
	if m.IsRemote() { // what came in goes out, under the rules of calls to the upstream of that name
		out := g.policies.ExplainUpstream(m.Target.Service, m.Target.Service, m.Target.Method, caller)
		x.Kinds = append(x.Kinds, out.Kinds...)
	}
	return &admin.Explanation{Explanation: x}, nil
}

// notFound returns the error for a service or method that is not served.
func notFound(g *generation, service, method string) *admin.Error {
	s, ok := g.routes.Service(service)
	if !ok {
		return noService(g, service)
	}
	var methods []string
	for _, m := range s.Methods {
		methods = append(methods, m.Name)
	}
	return admin.Errorf(admin.CodeNotFound, "service %s has no method %q%s", s.Config.Name, method, whySkipped(s.Handler.Skipped(), method)).
		WithHelp("it has: %s%s", strings.Join(methods, ", "), didYouMean(method, methods))
}

func noService(g *generation, name string) *admin.Error {
	upstreams := g.set.Manifest.UpstreamNames()
	help := "served: " + strings.Join(g.routes.ServiceNames(), ", ")
	if len(upstreams) > 0 {
		help += "; upstreams: " + strings.Join(upstreams, ", ")
	}
	known := append(g.routes.Callable(), upstreams...)
	meant := didYouMean(name, known)
	if s := config.Suggest(name, known); slices.Contains(upstreams, s) {
		meant = "; did you mean " + s + "? it is an upstream"
	}
	return admin.Errorf(admin.CodeNotFound, "no service %q is served here", name).WithHelp("%s", help+meant)
}

func didYouMean(word string, known []string) string {
	if s := config.Suggest(word, known); s != "" {
		return "; did you mean " + s + "?"
	}
	return ""
}

// explainUpstream returns the client-side rules for a call to an upstream. To a gateway, every service of other hosts
// is one.
func explainUpstream(g *generation, name, method, caller string) (*admin.Explanation, error) {
	if u := g.out.Upstream(name); u != nil {
		return &admin.Explanation{Explanation: g.policies.ExplainUpstream(name, u.Service(), method, caller)}, nil
	}
	if g.routes.Remote.Has(name) {
		return &admin.Explanation{Explanation: g.policies.ExplainUpstream(name, name, method, caller)}, nil
	}
	known := append(g.set.Manifest.UpstreamNames(), g.routes.Remote.All()...)
	return nil, admin.Errorf(admin.CodeNotFound, "there is no upstream %q here", name).
		WithHelp("upstreams: %s%s", strings.Join(known, ", "), didYouMean(name, known))
}
