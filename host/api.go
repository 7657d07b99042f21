package host

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/policies"
)

// api implements admin.Host.
type api struct{ h *Host }

// Metrics returns the handler of scrapes.
func (a api) Metrics() http.Handler { return a.h.metrics.Handler() }

// Checks returns the conditions of readiness.
func (a api) Checks(ctx context.Context) []admin.Check {
	h := a.h
	g := h.current.Load()
	checks := []admin.Check{
		{Name: "listeners", OK: h.listeners.IsOpen()},
		{Name: "policies", OK: true, Detail: "r" + itoa(g.revision)},
		{Name: "not draining", OK: !h.changes.draining.Load()},
	}
	for i, err := range g.ready(ctx) {
		c := admin.Check{Name: "service " + g.services[i].Config.Name, OK: err == nil}
		if err != nil {
			c.Detail = err.Error()
		}
		checks = append(checks, c)
	}
	return checks
}

// Rules returns the rules in force, each with its state.
func (a api) Rules(context.Context) ([]policies.RuleState, error) {
	return a.h.current.Load().policies.Rules(), nil
}

// Explain returns the rules that apply to a call.
func (a api) Explain(_ context.Context, q admin.ExplainQuery) (*admin.Explanation, error) {
	g := a.h.current.Load()
	x, err := explain(g, q)
	if err == nil {
		x.Fallback = fallbackInUse(g.set, a.h.changes.history.latest())
	}
	return x, err
}

// ExplainRule returns a rule as it was in a revision, and what has changed since.
func (a api) ExplainRule(_ context.Context, name string, revision int) (*admin.RuleExplanation, error) {
	g := a.h.current.Load()
	if revision == 0 {
		revision = g.revision
	}
	r, ok := a.h.changes.history.applied(revision)
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
	x.Status = a.ruleStatus(r.set, name, g.revision, revision)
	return x, nil
}

// ruleStatus returns what happened to a rule after a revision.
func (a api) ruleStatus(set *config.Set, name string, current, revision int) string {
	for n := revision + 1; n <= current; n++ {
		r, ok := a.h.changes.history.applied(n)
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

func ruleNames(set *config.Set) []string {
	var names []string
	for i := range set.Rules {
		names = append(names, set.Rules[i].Name)
	}
	return names
}

// Revisions returns the attempts that are remembered.
func (a api) Revisions(context.Context) ([]admin.Revision, error) {
	return a.h.changes.history.all(), nil
}

// Revision returns one of them.
func (a api) Revision(_ context.Context, number int) (*admin.Revision, error) {
	r, ok := a.h.changes.history.applied(number)
	if !ok {
		return nil, admin.Errorf(admin.CodeNotFound, "revision %d is not known", number)
	}
	return &r.Revision, nil
}

// Refusals returns the last refusals, the newest first.
func (a api) Refusals(_ context.Context, q admin.RefusalQuery) ([]admin.Refusal, error) {
	list := []admin.Refusal{}
	for _, r := range a.h.calls.recorder.refusals.list(q.Caller, q.Since) {
		list = append(list, refusalView(r))
	}
	return list, nil
}

// Reload reads the files again.
func (a api) Reload(ctx context.Context, q admin.ReloadRequest) (*admin.Revision, error) {
	// A reload that has begun is finished even if its client disconnects.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	r, err := a.h.reloads.reload(ctx, change{source: SourceAdmin, who: q.Who, force: q.Force})
	if err == nil {
		return &r, nil
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

// Services returns what a caller needs to know of each service.
func (a api) Services(ctx context.Context) ([]admin.Service, error) {
	list := []admin.Service{}
	g := a.h.current.Load()
	for i, unready := range g.ready(ctx) {
		s := g.services[i]
		v := admin.Service{
			Name: s.Config.Name, Aliases: s.Config.Aliases, Handler: s.Config.Handler, Package: s.instance.entry.Package,
			Ready: unready == nil,
		}
		for _, m := range s.Methods {
			v.Methods = append(v.Methods, a.methodView(g, s, m))
		}
		for _, skipped := range s.instance.service.Skipped() {
			v.Skipped = append(v.Skipped, admin.Skipped{Name: skipped.Name, Why: skipped.Why})
		}
		list = append(list, v)
	}
	return list, nil
}

func (a api) methodView(g *generation, s *service, m *route.Method) admin.Method {
	v := admin.Method{
		Name: m.Name, Args: admin.ShapeOf(m.Invoke.Args), Reply: admin.ShapeOf(m.Invoke.Reply),
		InFlight: m.InFlight(),
		Routes:   []admin.Route{{Methods: []string{"POST"}, Path: "/" + m.FullName()}},
	}
	if slices.Contains(g.set.Manifest.Gateway.Get, m.Target.Service+"."+m.Name) {
		v.Routes[0].Methods = append(v.Routes[0].Methods, "GET")
	}
	for _, r := range g.set.Manifest.Gateway.Routes {
		if found, ok := g.routes.Local(r.Service, r.Method); ok && found == m {
			v.Routes = append(v.Routes, admin.Route{Methods: r.Methods, Path: r.Path})
		}
	}
	entry := s.instance.entry
	body, err := json.Marshal(entry.Example(m.Invoke))
	if err != nil {
		return v
	}
	v.Example = admin.Example{
		Body:    body,
		Chosen:  entry.HasExample(m.Name),
		Command: fmt.Sprintf("easymicro call %s.%s '%s'", m.Target.Service, m.Name, body),
	}
	if at := a.h.HTTPAddress(); at != "" {
		v.Example.Curl = fmt.Sprintf("curl -d '%s' http://%s/%s", body, at, m.FullName())
	}
	return v
}

// Status returns the state of the host: what its files say, what runs, and the result of the last attempt.
func (a api) Status(ctx context.Context) (*admin.Status, error) {
	h := a.h
	g := h.current.Load()
	last := h.changes.history.latest()
	applied, _ := h.changes.history.applied(g.revision)
	checks := a.Checks(ctx)
	s := &admin.Status{
		Host: h.name, Version: h.version, StartedAt: h.started, UptimeSeconds: time.Since(h.started).Seconds(),
		Ready: true, Draining: h.changes.draining.Load(), Checks: checks,
		Policies: admin.Policies{
			Desired: admin.Desired{Hash: last.Hash, Files: filePaths(desired(g.set))},
			Running: admin.Running{
				Revision: g.revision, Hash: g.set.Hash, AppliedAt: applied.At, Source: applied.Source, Rules: len(g.set.Rules),
				Changes: applied.Changes,
			},
			LastAttempt: admin.Attempt{
				At: last.At, Source: last.Source, Result: last.Result, Revision: last.Number, Hash: last.Hash,
				Error: last.Error, Problems: last.Problems, Changes: last.Changes,
			},
			InSync:   h.changes.inSync(last),
			Fallback: fallbackInUse(g.set, last),
		},
		Watch:          h.reloads.watchView(),
		PendingRestart: pendingViews(g.pending),
		Listeners:      h.listeners.Status(g.set.Manifest),
		NotAccepting:   h.listeners.NotAccepting(),
		Budget:         budgetView(h.budget),
		Services:       []admin.ServiceStatus{},
		Breakers:       slices.Collect(g.policies.Breakers()),
		Limiters:       slices.Collect(g.policies.Limiters()),
		Upstreams:      upstreamViews(g),
		Discovery:      clusterViews(g),
		Warnings:       applied.Warnings,
	}
	s.Expiring, s.ExpiringMore = expiryViews(g.set, time.Now())
	for _, c := range checks {
		s.Ready = s.Ready && c.OK
	}
	for i, err := range g.ready(ctx) {
		s.Services = append(s.Services, serviceStatus(g.services[i], err))
	}
	return s, nil
}
