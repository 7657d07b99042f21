package host

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/listen"
	"github.com/easymicro/easymicro/host/state"
	"github.com/easymicro/easymicro/host/view"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire"
)

// adminHost implements admin.Host.
type adminHost struct {
	*core
	started   time.Time
	applier   *applier
	reloads   *reloads
	drains    *drains
	commands  *commands
	listeners *listen.Listeners
	recorder  *recorder
}

// Metrics returns the handler of scrapes.
func (a *adminHost) Metrics() http.Handler { return a.metrics.Handler() }

// Checks returns the conditions of readiness.
func (a *adminHost) Checks(ctx context.Context) []admin.Check {
	g := a.current.Load()
	return a.checks(g, g.ready(ctx))
}

func (a *adminHost) checks(g *generation, ready []error) []admin.Check {
	checks := []admin.Check{
		{Name: "listeners", OK: a.listeners.IsOpen()},
		{Name: "policies", OK: true, Detail: "r" + strconv.Itoa(g.revision)},
		{Name: "not draining", OK: !a.applier.draining.Load()},
		a.drains.check(),
	}
	for i, err := range ready {
		c := admin.Check{Name: "service " + g.services[i].Config.Name, OK: err == nil}
		if err != nil {
			c.Detail = err.Error()
		}
		checks = append(checks, c)
	}
	for _, b := range g.policies.Broken() {
		checks = append(checks, admin.Check{Name: "rule " + b.Rule + " (" + b.Position.String() + ")", OK: true, Warning: "its " + string(b.Kind) + " is broken"})
	}
	return checks
}

// Rules returns the rules in force, each with its state.
func (a *adminHost) Rules(context.Context) ([]policies.RuleState, error) {
	return a.current.Load().policies.Rules(), nil
}

// Explain returns the rules that apply to a call.
func (a *adminHost) Explain(_ context.Context, q admin.ExplainQuery) (*admin.Explanation, error) {
	g := a.current.Load()
	x, err := view.Explain(g.view(), q)
	if err == nil {
		last := a.applier.history.latest()
		x.Fallback = view.Fallback(g.set, &last)
		x.Overrides = g.overrides.concerning(x)
	}
	return x, err
}

// ExplainRule returns a rule as it was in a revision, and what has changed since.
func (a *adminHost) ExplainRule(_ context.Context, name string, revision int) (*admin.RuleExplanation, error) {
	return view.ExplainRule(a.current.Load().view(), a.applier.history.set, name, revision)
}

// Revisions returns the attempts that are remembered.
func (a *adminHost) Revisions(context.Context) ([]admin.Attempt, error) {
	return a.applier.history.all(), nil
}

// Revision returns one of them.
func (a *adminHost) Revision(_ context.Context, number int) (*admin.Attempt, error) {
	r, ok := a.applier.history.made(number)
	if !ok {
		return nil, a.applier.history.unknown(number)
	}
	return &r.Attempt, nil
}

// RevisionFiles returns the files of a revision with their texts, without the hashes of tokens.
func (a *adminHost) RevisionFiles(_ context.Context, number int) ([]admin.FileText, error) {
	r, ok := a.applier.history.made(number)
	if !ok {
		return nil, a.applier.history.unknown(number)
	}
	texts, err := a.applier.textsOf(&r)
	if err != nil {
		return nil, admin.Errorf(admin.CodeNotFound, "the files of revision %d are not known: %v", number, err)
	}
	list := make([]admin.FileText, 0, len(r.Files))
	for _, f := range r.Files {
		list = append(list, admin.TextOf(f, texts[f.Path]))
	}
	return list, nil
}

// Refusals returns the last refusals, the newest first.
func (a *adminHost) Refusals(_ context.Context, q admin.RefusalQuery) ([]admin.Refusal, error) {
	var list []admin.Refusal
	for _, r := range a.recorder.refusals.list(q.Caller, q.Since) {
		list = append(list, r.view())
	}
	return list, nil
}

// Top returns the calls of the last five minutes by caller, method or peer.
func (a *adminHost) Top(_ context.Context, q admin.TopQuery) (*admin.Top, error) {
	return view.Top(a.flows, q, time.Now()), nil
}

// Shadow returns what rules in shadow would have refused.
func (a *adminHost) Shadow(context.Context) (*admin.Shadow, error) {
	rows, more := a.shadows.list(a.current.Load())
	return &admin.Shadow{Rules: rows, More: more}, nil
}

// Reload reads the files again.
func (a *adminHost) Reload(ctx context.Context, q admin.ReloadRequest) (*admin.Attempt, error) {
	// A reload that has begun is finished even if its client disconnects.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	r, err := a.reloads.reload(ctx, trigger{source: SourceAdmin, who: q.Who, force: q.Force})
	if err == nil && r.Result == ResultHeld {
		return nil, admin.Errorf(admin.CodeRejected, "the files were not applied, r%d keeps running: %s", r.Number, r.Why)
	}
	return a.answered(&r, err, "fix the files: they are reloaded when saved; if the cause is elsewhere, such as a port in use, run easymicro reload")
}

// answered returns the answer of an attempt. help says what to do about problems.
func (a *adminHost) answered(r *admin.Attempt, err error, help string) (*admin.Attempt, error) {
	if err == nil {
		return r, nil
	}
	return nil, a.rejection(err, help)
}

// rejection returns the error of an attempt as an error of the API. help says what to do about problems.
func (a *adminHost) rejection(err error, help string) error {
	inForce := a.current.Load().revision
	var answer *admin.Error
	var stale *staleError
	var exceeds forecastError
	var problems config.Problems
	switch {
	case errors.As(err, &answer):
		return answer
	case errors.As(err, &stale):
		return admin.Errorf(admin.CodeStale, "%v", stale).WithHelp("make the plan again")
	case errors.As(err, &exceeds):
		return exceeds.answer(inForce)
	case errors.As(err, &problems):
		return admin.Errorf(admin.CodeRejected, "the files were not applied, r%d keeps running", inForce).WithHelp("%s", help).WithProblems(problems.Few())
	default:
		return admin.Errorf(admin.CodeRejected, "%v", err).WithHelp("r%d keeps running", inForce)
	}
}

// Plan returns what Apply would change.
func (a *adminHost) Plan(_ context.Context, q admin.ApplyRequest) (*admin.Difference, error) {
	d, err := a.commands.plan(&q)
	if err != nil {
		return nil, a.rejection(err, fixAndApply)
	}
	return d, nil
}

// fixAndApply says what to do about problems of files to apply.
const fixAndApply = "fix them and apply again"

// Apply puts policy files in force without writing them.
func (a *adminHost) Apply(ctx context.Context, q admin.ApplyRequest) (*admin.Attempt, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	r, err := a.commands.applyFiles(ctx, &q)
	return a.answered(&r, err, fixAndApply)
}

// Rollback puts a revision in force again.
func (a *adminHost) Rollback(ctx context.Context, q admin.RollbackRequest) (*admin.Attempt, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	r, err := a.commands.rollback(ctx, &q)
	return a.answered(&r, err, "choose another revision, or fix the cause")
}

// Override puts an override in force.
func (a *adminHost) Override(ctx context.Context, q admin.OverrideRequest) (*admin.OverrideResult, error) {
	r, err := a.applier.overrides.put(context.WithoutCancel(ctx), &q)
	return a.overridden(r, err, "change the command")
}

// DropOverride ends an override.
func (a *adminHost) DropOverride(ctx context.Context, name, who string) (*admin.OverrideResult, error) {
	r, err := a.applier.overrides.drop(context.WithoutCancel(ctx), name, who)
	return a.overridden(r, err, "drop the overrides that need it first")
}

// overridden returns the answer of a change of overrides. help says what to do about problems.
func (a *adminHost) overridden(r *admin.OverrideResult, err error, help string) (*admin.OverrideResult, error) {
	if problems, ok := errors.AsType[config.Problems](err); ok {
		return nil, admin.Errorf(admin.CodeRejected, "nothing has changed, r%d keeps running", a.current.Load().revision).
			WithHelp("%s", help).WithProblems(problems.Few())
	}
	if err != nil {
		return nil, a.rejection(err, help)
	}
	return r, nil
}

// Overrides returns the overrides in force.
func (a *adminHost) Overrides(context.Context) ([]admin.Override, error) {
	return a.current.Load().overrides, nil
}

// Breakers returns the breakers that a name selects, or all of them.
func (a *adminHost) Breakers(_ context.Context, name string) ([]admin.Breaker, error) {
	known := breakers{a.current.Load()}
	if name == "" {
		return known.all(), nil
	}
	f, err := known.find(name)
	if err != nil {
		return nil, err
	}
	return f.list, nil
}

// ResetBreaker closes the breakers that a name selects.
func (a *adminHost) ResetBreaker(_ context.Context, name, who, why string) ([]admin.Breaker, error) {
	g := a.current.Load()
	list, err := breakers{g}.reset(name, commandCause(who, why))
	if err != nil {
		return nil, err
	}
	a.log.Info("breaker reset", "name", name, "who", who, "why", why)
	a.applier.state.audit(state.AuditEntry{
		At: time.Now(), Action: "breaker reset " + name, Who: who, Why: why, Revision: g.revision, Hash: g.set.Hash, Result: ResultUnchanged,
	})
	return list, nil
}

// Confirm keeps the revision that would be undone.
func (a *adminHost) Confirm(_ context.Context, who string) (*admin.Attempt, error) {
	r, err := a.commands.confirm(who)
	return a.answered(&r, err, "")
}

// Diff returns how the files differ from what runs.
func (a *adminHost) Diff(ctx context.Context) (*admin.Difference, error) {
	if a.reloads.source == nil {
		return nil, admin.Errorf(admin.CodeRejected, "%v", ErrNoSource)
	}
	d, err := a.reloads.diff(ctx)
	if problems, ok := errors.AsType[config.Problems](err); ok {
		return nil, admin.Errorf(admin.CodeRejected, "the files have problems").
			WithHelp("fix them: r%d keeps running", a.current.Load().revision).WithProblems(problems.Few())
	}
	return d, err
}

// Config returns what runs, with the defaults.
func (a *adminHost) Config(context.Context) (*admin.Configuration, error) {
	g := a.current.Load()
	e, err := config.EffectiveOf(g.set)
	if err != nil {
		return nil, err
	}
	return &admin.Configuration{Revision: g.revision, Hash: g.set.Hash, PendingRestart: view.Pending(g.pending), Effective: *e}, nil
}

// Drain takes the host out of service.
func (a *adminHost) Drain(_ context.Context, who string) (*admin.DrainState, error) {
	return drainAnswer(a.drains.drain(who))
}

// Undrain takes it into service again.
func (a *adminHost) Undrain(_ context.Context, who string) (*admin.DrainState, error) {
	return drainAnswer(a.drains.undrain(who))
}

func drainAnswer(s *admin.DrainState, err error) (*admin.DrainState, error) {
	if err != nil {
		return nil, admin.Errorf(admin.CodeUnavailable, "%v: the process ends", err)
	}
	return s, nil
}

var _ admin.Host = (*adminHost)(nil)

// Services returns what a caller needs to know of each service.
func (a *adminHost) Services(ctx context.Context) ([]admin.Service, error) {
	var list []admin.Service
	g := a.current.Load()
	for i, unready := range g.ready(ctx) {
		s := g.services[i]
		v := view.Service(g.view(), s.Service, s.instance.entry, a.httpURL())
		v.Ready = unready == nil
		list = append(list, v)
	}
	return list, nil
}

// Status returns the state of the host: what its files say, what runs, and the result of the last attempt.
func (a *adminHost) Status(ctx context.Context) (*admin.Status, error) {
	g := a.current.Load()
	last := a.applier.history.latest()
	applied, _ := a.applier.history.applied(g.revision)
	ready := g.ready(ctx)
	checks := a.checks(g, ready)
	s := &admin.Status{
		Host: a.name, Version: a.version, StartedAt: a.started, UptimeSeconds: time.Since(a.started).Seconds(),
		Ready: true, Draining: a.applier.draining.Load(), Drained: a.drains.drained.Load(), Checks: checks,
		Policies: admin.Policies{
			Desired: admin.Desired{Hash: last.Hash, Files: view.Desired(g.set)},
			Running: admin.Running{
				Revision: g.revision, Hash: g.set.Hash, AppliedAt: applied.At, Source: applied.Source, Why: applied.Why, Rules: len(g.set.Rules),
				Changes: applied.Changes, Forecast: applied.Forecast,
			},
			LastAttempt: admin.LastAttempt{
				At: last.At, Source: last.Source, Result: last.Result, Revision: last.Number, Hash: last.Hash,
				Error: last.Error, Problems: last.Problems, Changes: last.Changes,
			},
			InSync:   a.applier.inSync(last),
			Fallback: view.Fallback(g.set, &last),
			Observed: g.window.Load().observed(),
		},
		Watch:          a.reloads.watchView(),
		PendingRestart: view.Pending(g.pending),
		Listeners:      a.listeners.Status(g.set.Manifest),
		NotAccepting:   a.listeners.NotAccepting(),
		Budget:         admin.Budget(a.budget.Usage()),
		Breakers:       g.policies.Breakers(),
		Limiters:       g.policies.Limiters(),
		Upstreams:      view.Upstreams(g.view(), a.metrics),
		Discovery:      view.Clusters(g.view()),
		Warnings:       append(brokenRules(g), applied.Warnings...),
	}
	if h := a.applier.rollbacks.held.Load(); h != nil {
		s.Policies.Desired.Hash, s.Policies.Held, s.Policies.Pinned = h.hash, h.why, h.hash
	}
	if g.set.Replaces != "" && last.Hash == g.set.Hash {
		s.Policies.Desired.Hash = g.set.Replaces
	}
	if u := a.commands.toConfirm(); u != nil {
		s.Policies.RevertAt = u.at
	}
	if w := a.applier.state.warning(); w != nil {
		s.Warnings = append(slices.Clip(s.Warnings), *w)
	}
	if w := a.applier.waiting.Load(); w != nil {
		s.Policies.Desired.Hash, s.Policies.Waiting = w.hash, w.why
	}
	s.KeySource = g.keySource(&s.Warnings)
	s.Overrides = g.overrides
	s.Expiring, s.ExpiringMore = view.Expiries(g.set, time.Now())
	for _, c := range checks {
		s.Ready = s.Ready && c.OK
	}
	for i, err := range ready {
		s.Services = append(s.Services, g.services[i].status(err))
	}
	return s, nil
}

// httpURL returns the URL of the first listener for HTTP over TCP, without a path; empty when there is none.
func (a *adminHost) httpURL() string {
	for _, l := range a.current.Load().set.Manifest.Listeners {
		if !slices.Contains(l.Protocols, wire.TransportHTTP) {
			continue
		}
		if addr := a.listeners.Addr(l.Name); addr != nil && addr.Network() == "tcp" {
			scheme := "http://"
			if l.TLS != nil {
				scheme = "https://"
			}
			return scheme + addr.String()
		}
	}
	return ""
}
