package host

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/policies"
)

// api is the host as its admin listener shows it.
type api struct{ h *Host }

func (h *Host) api() api { return api{h} }

// Metrics answers scrapes.
func (a api) Metrics() http.Handler { return a.h.metrics.Handler() }

// Checks are the conditions of readiness.
func (a api) Checks(ctx context.Context) []admin.Check {
	h := a.h
	g := h.current.Load()
	checks := []admin.Check{
		{Name: "listeners", OK: h.listeners.IsOpen()},
		{Name: "policies", OK: true, Detail: "r" + itoa(g.revision)},
		{Name: "not draining", OK: !h.draining.Load()},
	}
	for i, err := range g.ready(ctx) {
		c := admin.Check{Name: "service " + g.services[i].config.Name, OK: err == nil}
		if err != nil {
			c.Detail = err.Error()
		}
		checks = append(checks, c)
	}
	return checks
}

// Rules are the rules in force, each with its state.
func (a api) Rules(context.Context) ([]policies.RuleState, error) {
	return a.h.current.Load().policies.Rules(), nil
}

// Explain says what applies to a call.
func (a api) Explain(_ context.Context, q admin.ExplainQuery) (*admin.Explanation, error) {
	g := a.h.current.Load()
	x, err := g.explain(q)
	if err == nil {
		x.StandIn = a.h.standIn(g.set, a.h.history.latest())
	}
	return x, err
}

func (g *generation) explain(q admin.ExplainQuery) (*admin.Explanation, error) {
	if q.Upstream != "" {
		return g.explainUpstream(q.Upstream, q.Method, q.Caller)
	}
	m, ok := g.lookup(q.Service, q.Method)
	if !ok && g.upstream(q.Service) != nil {
		return g.explainUpstream(q.Service, q.Method, q.Caller)
	}
	if !ok {
		return nil, g.notFound(q.Service, q.Method)
	}
	caller := q.Caller
	if caller == "" {
		caller = anonymous
	}
	x := g.policies.Explain(m.target, caller, q.Peer)
	if m.remote != nil { // what came in goes out, under the rules of calls to the upstream of that name
		out := g.policies.ExplainUpstream(m.target.Service, m.target.Service, m.target.Method, caller)
		x.Kinds = append(x.Kinds, out.Kinds...)
	}
	return &admin.Explanation{Explanation: x}, nil
}

// notFound names the service or method that is not served.
func (g *generation) notFound(service, method string) *admin.Error {
	s, ok := g.byName.find(service)
	if !ok {
		return g.noService(service)
	}
	var methods []string
	for _, m := range s.methods {
		methods = append(methods, m.name)
	}
	return admin.Errorf(admin.CodeNotFound, "service %s has no method %q%s", s.config.Name, method, whySkipped(s.instance.service.Skipped(), method)).
		WithHelp("it has: %s%s", strings.Join(methods, ", "), didYouMean(method, methods))
}

func (g *generation) noService(name string) *admin.Error {
	upstreams := g.set.Manifest.UpstreamNames()
	help := "served: " + strings.Join(g.serviceNames(), ", ")
	if len(upstreams) > 0 {
		help += "; upstreams: " + strings.Join(upstreams, ", ")
	}
	known := append(g.callable(), upstreams...)
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

func (g *generation) serviceNames() []string {
	names := make([]string, 0, len(g.services))
	for _, s := range g.services {
		names = append(names, s.config.Name)
	}
	others := g.remote.all()
	slices.Sort(others)
	return append(names, others...)
}

// ExplainRule is a rule as it was in a revision, and what became of it.
func (a api) ExplainRule(_ context.Context, name string, revision int) (*admin.RuleExplanation, error) {
	g := a.h.current.Load()
	if revision == 0 {
		revision = g.revision
	}
	r, ok := a.h.history.applied(revision)
	if !ok {
		return nil, admin.Errorf(admin.CodeNotFound, "revision %d is not known", revision).
			WithHelp("this host remembers the last revisions since its start, %d at most and fewer large ones; easymicro status shows the running one", revisionsKept)
	}
	rule := findRule(r.set, name)
	if rule == nil {
		return nil, admin.Errorf(admin.CodeNotFound, "revision %d has no rule %q", revision, name).
			WithHelp("its rules: %s%s", strings.Join(ruleNames(r.set), ", "), didYouMean(name, ruleNames(r.set)))
	}
	past, err := pastRule(rule)
	if err != nil {
		return nil, err
	}
	x := &admin.RuleExplanation{Revision: revision, AppliedAt: r.At, Rule: past}
	for _, s := range g.policies.Rules() {
		if s.Name == name && revision == g.revision {
			x.Rule = s
		}
	}
	x.Status = a.fate(r.set, name, g.revision, revision)
	return x, nil
}

// fate is what became of a rule after a revision.
func (a api) fate(set *config.Set, name string, current, revision int) string {
	for n := revision + 1; n <= current; n++ {
		r, ok := a.h.history.applied(n)
		if !ok {
			continue
		}
		if findRule(r.set, name) == nil {
			return "removed in r" + itoa(n)
		}
		for _, c := range config.Diff(set, r.set) {
			if c.Subject == name {
				return "changed in r" + itoa(n)
			}
		}
	}
	return "in force"
}

func findRule(set *config.Set, name string) *config.Rule {
	for i := range set.Rules {
		if set.Rules[i].Name == name {
			return &set.Rules[i]
		}
	}
	return nil
}

func ruleNames(set *config.Set) []string {
	var names []string
	for i := range set.Rules {
		names = append(names, set.Rules[i].Name)
	}
	return names
}

// Revisions are the attempts that are remembered.
func (a api) Revisions(context.Context) ([]admin.Revision, error) {
	var list []admin.Revision
	for _, r := range a.h.history.all() {
		list = append(list, revisionView(r))
	}
	return list, nil
}

// Revision is one of them.
func (a api) Revision(_ context.Context, number int) (*admin.Revision, error) {
	r, ok := a.h.history.applied(number)
	if !ok {
		return nil, admin.Errorf(admin.CodeNotFound, "revision %d is not known", number)
	}
	v := revisionView(r)
	return &v, nil
}

// Refusals are the last ones, the newest first.
func (a api) Refusals(_ context.Context, q admin.RefusalQuery) ([]admin.Refusal, error) {
	list := []admin.Refusal{}
	for _, r := range a.h.refusals.list(q.Caller, q.Since) {
		list = append(list, refusalView(r))
	}
	return list, nil
}

// Reload reads the files again.
func (a api) Reload(ctx context.Context, q admin.ReloadRequest) (*admin.Revision, error) {
	// A reload that has begun is finished even if who asked for it hangs up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	r, err := a.h.reload(ctx, change{source: SourceAdmin, who: q.Who, force: q.Force})
	if err == nil {
		v := revisionView(r)
		return &v, nil
	}
	inForce := a.h.current.Load().revision
	if len(r.Problems) == 0 {
		return nil, admin.Errorf(admin.CodeRejected, "%v", err).WithHelp("r%d stays in force", inForce)
	}
	return nil, admin.Errorf(admin.CodeRejected, "the files are not applied, r%d stays in force", inForce).
		WithHelp("mend the files, and they are read again; where the cause is not in them (a taken port), ask again with easymicro reload").
		WithProblems(r.Problems)
}

var _ admin.Host = api{}
