package host

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/lint"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/outgoing"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/host/view"
	"github.com/easymicro/easymicro/registry"
)

// ErrDraining is the error of attempts to change a host that is draining.
var ErrDraining = errors.New("the host is draining")

// applier replaces the generation of a host. Every change goes through apply: reloads call it for files, commands and overrides for
// operators, and rollbacks to undo an edit.
type applier struct {
	*core
	registry  *registry.Registry
	parts     []part      // a part uses those before it
	first     *config.Set // of the start, whose restart-class settings stay in force
	onAttempt func(Attempt)
	history   history
	state     *stateDir                   // nil: nothing outlives the process
	waiting   atomic.Pointer[waitingEdit] // nil: none
	rollbacks *rollbacks
	overrides *overrides

	draining    atomic.Bool
	applyCtx    context.Context //nolint:containedctx // it ends when the host drains, and with it the attempt in progress and all later ones
	cancelApply context.CancelFunc
	applying    sync.Mutex // held while a generation is made
}

// waitingEdit is an edit that removes much protection, and is applied if it stays the same.
type waitingEdit struct{ hash, why string }

// apply puts next into force, all of it or nothing.
func (a *applier) apply(ctx context.Context, next *config.Set, from trigger) (Attempt, error) {
	a.applying.Lock()
	defer a.applying.Unlock()
	ctx, interrupt := context.WithCancel(ctx)
	defer interrupt()
	stop := context.AfterFunc(a.applyCtx, interrupt)
	defer stop()
	if a.draining.Load() {
		return Attempt{}, ErrDraining
	}
	begin := time.Now()
	prev := a.current.Load()
	if err := a.superseded(prev, from); err != nil {
		return Attempt{}, err
	}
	if from.undoes == nil && from.holds == nil && !from.force && from.fromFiles() && a.rollbacks.isHeld(next.DesiredHash()) {
		return a.rollbacks.stillHeld(next, from), nil // it was rolled back while it was read
	}
	g, err := a.replace(ctx, prev, next, from)
	if err != nil {
		if a.draining.Load() {
			return Attempt{}, ErrDraining
		}
		r := a.rejected(next.Hash, next.Files, from, err)
		a.record(&r, nil)
		return r, err
	}
	r := from.attempt(g, ResultApplied, begin)
	r.Took, r.Warnings, r.RevertAt = admin.Seconds(time.Since(begin)), append(from.warnings.Few(), g.warnings.Few()...), from.revertAt
	h := from.holds
	if h != nil && h.hash == next.Hash {
		h = nil // the files are what runs
	}
	a.rollbacks.held.Store(h)
	if h != nil {
		r.Pinned = h.hash
	}
	if from.heldAtStart {
		r.Result = ResultHeld
	}
	if prev != nil {
		r.Changes = admin.Changes(g.changes.Few())
		r.Warnings = append(config.Lost(prev.set.Plain(), next.Plain()).Warnings().Few(), r.Warnings...)
	}
	r.Forecast = g.forecast
	a.record(&r, g.set)
	a.overrides.applied(prev, g)
	if u := from.undoes; u != nil {
		a.metrics.RolledBack()
		u.mark(a.state.amend)
	}
	return r, nil
}

// superseded returns an error if what runs is not what the attempt is meant for.
func (a *applier) superseded(prev *generation, from trigger) error {
	switch {
	case from.undoes != nil && from.undoes.window != prev.window.Load(), from.reverts != 0 && (from.reverts != prev.revision || from.isConfirmed()):
		return errSuperseded
	case from.match != "" && from.match != prev.set.Hash:
		return &staleError{madeFor: a.history.revisionOf(from.match), running: prev.revision, by: a.history.sourceOf(prev.revision)}
	}
	return nil
}

// replace makes the generation of a set and puts it into force. If it fails, it closes everything that it has
// opened.
func (a *applier) replace(ctx context.Context, prev *generation, set *config.Set, from trigger) (*generation, error) {
	g, err := a.newGeneration(prev, set, from)
	if err != nil {
		return nil, err
	}
	steps, err := a.plan(ctx, prev, g)
	if err == nil {
		err = a.permit(prev, g, from)
	}
	if err != nil {
		a.abandon(steps)
		return nil, err
	}
	a.putInForce(prev, g, steps, from)
	return g, nil
}

// plan has the parts open and check what next needs. If there is an error, the steps must be abandoned.
func (a *applier) plan(ctx context.Context, prev, next *generation) (steps []step, err error) {
	for _, p := range a.parts {
		err := contain(func() error {
			s, err := p(ctx, prev, next)
			if s != nil {
				steps = append(steps, s)
			}
			return err
		})
		if err != nil {
			return steps, err
		}
	}
	for _, s := range steps {
		if p, ok := s.(preparer); ok {
			if err := contain(func() error { return p.prepare(ctx) }); err != nil {
				return steps, err
			}
		}
	}
	return steps, nil
}

// permit returns an error if the edit must not be applied although it could be: because of policies.keep, policies.widening or
// its forecast.
func (a *applier) permit(prev, next *generation, from trigger) error {
	if from.undoes == nil && !from.accepted {
		if err := contain(func() error { return judge(prev, next, &from) }); err != nil {
			return err
		}
	}
	next.warnings, _ = config.IgnoresIn(next.set.TextsByPath()).Of(next.warnings, time.Now())
	if len(next.overrides) > 0 { // one may have taken away what a comment ignores
		next.warnings = slices.DeleteFunc(next.warnings, func(p config.Problem) bool { return p.Code == lint.IdleIgnore })
	}
	if from.heedsForecast {
		next.forecast = forecastOf(a.core, prev, next.set, next.policies, next.changes)
		if next.forecast != nil && next.forecast.Exceeds != "" {
			return forecastError{next.forecast}
		}
	}
	return nil
}

// judge judges the edit by policies.keep and policies.widening, and adds the warnings to next. Overrides make no edit wider or
// tighter; only those that the attempt puts in force are judged.
func judge(prev, next *generation, from *trigger) error {
	e := config.Edit{Next: next.set, Changes: next.changes, Targets: targetsOf(next.routes.Targets()), AllowWider: from.allowWider}
	if prev != nil {
		e.Old = prev.set
	}
	if prev != nil && from.overrides == nil && len(prev.overrides)+len(next.overrides) > 0 {
		e.Old, e.Next = prev.set.Plain(), next.set.Plain()
		e.Changes = config.Diff(e.Old, e.Next)
	}
	problems := e.Judge()
	next.warnings = append(problems.Warnings(), next.warnings...)
	return problems.Err()
}

// putInForce replaces prev by next, whose edit is observed from then on.
func (a *applier) putInForce(prev, next *generation, steps []step, from trigger) {
	w := a.rollbacks.observe(prev, next, from)
	if u := from.undoes; u != nil {
		u.mark(a.history.amend) // before the window is gone, so that readers see the verdict
	}
	a.current.Store(next)
	commit := func(f func()) { // a panic cannot undo what is in force: it is logged
		a.logInternal(contain(func() error {
			f()
			return nil
		}))
	}
	commit(next.policies.Activate) // the limits of state that is shared with calls of the generation before
	for _, s := range steps {
		commit(func() { s.Commit(a.life) })
	}
	if u := from.undoes; u != nil {
		commit(func() { u.window.failures.closeBreakers(next) })
	}
	a.retire(steps)
	if prev != nil && !from.heedsForecast && from.undoes == nil { // it holds nothing up
		next.forecast = forecastOf(a.core, prev, next.set, next.policies, next.changes)
	}
	if w != nil {
		a.retiring.Go(func() { a.rollbacks.follow(w) })
	}
}

// newGeneration checks a set and returns a generation of it that has no parts yet.
func (a *applier) newGeneration(prev *generation, set *config.Set, from trigger) (*generation, error) {
	var problems config.Problems
	var over overlaid
	var id identity
	err := contain(func() (err error) {
		if over, err = from.overlay(prev, set, a.check); err != nil {
			return err
		}
		set = over.set
		problems = runChecks(set, a.registry).problems.Sort()
		if err := problems.Err(); err != nil {
			return err
		}
		var kept config.Problems
		id, kept, err = newIdentity(set, a.name, prev)
		problems = append(problems, kept...)
		return err
	})
	if err != nil {
		return nil, err
	}
	g := &generation{
		set: set, out: outgoing.Connections{Set: set}, warnings: append(over.warnings, problems.Warnings()...),
		identity: id, overrides: over.overrides,
	}
	if prev == nil {
		g.revision = a.state.number() + 1
	} else {
		g.revision = prev.revision + 1
		g.changes, g.pending = from.changes(prev.set, set), config.Diff(a.first, set).Pending()
	}
	if from.undoes != nil {
		g.restores = from.undoes.window.rules
	}
	return g, nil
}

// check returns the problems of a set.
func (a *applier) check(set *config.Set) error { return runChecks(set, a.registry).problems.Err() }

// contain calls a part of making a generation, and returns its panic as an error.
func contain(f func() error) error {
	return config.Contain(func() string { return "while the edit was made ready" }, f)
}

// logInternal logs err with its stack if it is a panic.
func (a *applier) logInternal(err error) {
	if internal, ok := errors.AsType[*config.InternalError](err); ok {
		a.log.Error("internal error", "where", internal.Where, "panic", internal.Value, "stack", internal.Stack)
	}
}

func (a *applier) abandon(steps []step) {
	for _, s := range slices.Backward(steps) {
		s.Abandon()
	}
	a.retire(steps)
}

// retire has the steps close replaced resources, users before what they use.
func (a *applier) retire(steps []step) {
	usersRetired := make(chan struct{})
	close(usersRetired)
	for _, s := range slices.Backward(steps) {
		users, done := usersRetired, make(chan struct{})
		a.retiring.Go(func() {
			defer close(done)
			s.Retire(a.life, users)
		})
		usersRetired = done
	}
}

// locked calls f while no generation is being made.
func (a *applier) locked(f func(g *generation)) {
	a.applying.Lock()
	defer a.applying.Unlock()
	f(a.current.Load())
}

// upstreamsGone drops the metrics of removed upstreams.
func (a *applier) upstreamsGone() {
	a.locked(func(g *generation) {
		a.metrics.RetainUpstreams(func(name string) bool { return name == "" || g.connections().Upstream(name) != nil })
	})
}

// methodsGone drops the metrics of removed methods.
func (a *applier) methodsGone() {
	a.locked(func(g *generation) {
		a.metrics.Retain(func(full string) bool { return g != nil && g.routes.Serves(full) })
	})
}

// interceptorsGone drops the metrics of removed interceptors.
func (a *applier) interceptorsGone() {
	a.locked(func(g *generation) { a.metrics.RetainInterceptors(g.interceptors.has) })
}

// stop ends all attempts. The one in progress is aborted.
func (a *applier) stop() {
	a.draining.Store(true)
	a.cancelApply()
	a.locked(func(*generation) {}) // waits for it
}

// rejected returns the record of an attempt that changed nothing, with the reason. It logs a panic.
func (a *applier) rejected(hash string, files []config.File, from trigger, err error) Attempt {
	r := from.attempt(a.current.Load(), ResultRejected, time.Now())
	r.Hash, r.Files = hash, files
	reject(&r, err)
	a.logInternal(err)
	return r
}

// record keeps, logs and reports an attempt, which gets a warning if it is not on disk. set is the one that was applied.
func (a *applier) record(r *Attempt, set *config.Set) {
	a.remember(r, set)
	a.metrics.Reloaded(telemetry.Reload{Result: r.Result, Revision: r.Number, InSync: a.inSync(a.history.latest()), At: r.At})
	readFiles := r.Source != SourceAutoRollback && !byCommand(r)
	runsFiles := r.MadeRevision() && !ofOverrides(r) && a.rollbacks.held.Load() == nil
	if readFiles || runsFiles {
		a.metrics.SetFilesAccepted(r.Result != ResultRejected && (set == nil || set.Fallback == ""))
	}
	if r.IsTold() {
		logAttempt(a.log, r)
	}
	if a.onAttempt != nil {
		a.onAttempt(*r)
	}
}

// amend changes the record of a revision.
func (a *applier) amend(number int, change func(*Attempt)) {
	a.history.amend(number, change)
	a.state.amend(number, change)
}

// remember adds an attempt to the history, and to that on disk.
func (a *applier) remember(r *Attempt, set *config.Set) {
	a.history.count(r)
	keep, running, observed := view.RevisionsKept, a.first, false
	if g := a.current.Load(); g != nil {
		running, observed = g.set, g.window.Load() != nil || set != nil && a.rollbacks.covered != nil
	}
	if s := running.Manifest.Host.State; s != nil {
		keep = s.History
	}
	a.history.limit(keep)
	lost := a.state.add(r, set, keep, observed)
	a.history.add(historyEntry{*r, set})
	r.Warnings = append(slices.Clip(r.Warnings), lost...) // of the answer: status shows it for as long as it is true
}

// textsOf returns the texts of the files of a revision, by path.
func (a *applier) textsOf(r *historyEntry) (map[string][]byte, error) {
	if r.set != nil {
		if texts := r.set.TextsByPath(); len(texts) > 0 {
			return texts, nil
		}
	}
	return a.state.texts(&r.Attempt)
}

// inSync reports whether the running configuration matches the files after the last attempt.
func (a *applier) inSync(last Attempt) bool {
	g := a.current.Load()
	return g != nil && last.Result != ResultRejected && g.set.Fallback == "" && a.waiting.Load() == nil && a.rollbacks.held.Load() == nil
}

// setWaiting has status and metrics show the edit that waits; nil: none does.
func (a *applier) setWaiting(w *waitingEdit) {
	if a.waiting.Swap(w) != w {
		a.metrics.SetInSync(a.inSync(a.history.latest()))
	}
}
