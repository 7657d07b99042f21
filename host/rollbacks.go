package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/gateway"
	"github.com/easymicro/easymicro/host/outgoing"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/policies"
)

// errSuperseded is the error of undoing an edit that another one has replaced.
var errSuperseded = errors.New("the edit has been replaced")

// judgeEvery is how often the evidence against an edit is judged.
const judgeEvery = 10 * time.Millisecond

// rollbacks observes edits, and undoes those that refuse or fail calls that were served before.
type rollbacks struct {
	*applier
	baseline *generation  // the last whose own window ended well; nil: the one in force; guarded by applying
	covered  *coveredEdit // nil: none; guarded by applying
	held     atomic.Pointer[heldFiles]
	source   Source
	gateway  func(*generation) (*gateway.Gateway, error) // makes one, to ask where requests lead
	hurry    func()                                      // ends what holds up edits
}

// heldFiles are files in place of which something else was put in force: they are not applied unless they change, or by force.
type heldFiles struct {
	hash, why string
	set       *config.Set // made of them; nil if they were rolled back or are invalid
}

// observe opens the window of a new generation, before it comes into force. It returns nil if the edit is not observed.
func (r *rollbacks) observe(prev, next *generation, from trigger) *window {
	baseline := r.baseline
	if baseline == nil {
		baseline = prev
	}
	r.baseline = next
	var uncovered *generation
	var uncoveredEdits edits
	if prev == nil {
		baseline = r.lastGood(next)
		prev = baseline
	} else if uncovered, uncoveredEdits = r.uncovered(prev, next); uncovered == nil && from.overrides != nil && prev.window.Load() == nil {
		return nil
	}
	if prev == nil {
		return nil
	}
	settings, made := stricter(prev.set, next.set), editsOf(prev, next, from)
	if kept := settings == nil || from.force; kept && from.overrides == nil && from.reverts == 0 { // with the edits before it
		r.covered = nil
	} else {
		if from.undoes != nil {
			r.covered = r.covered.undone(from.undoes.window.edits)
		}
		r.covered = r.covered.after(baseline, next, made, !kept && from.overrides == nil && from.undoes == nil)
	}
	if from.undoes != nil {
		return nil
	}
	now := time.Now()
	baseline, before := compareWith(baseline, prev, uncovered, now)
	if settings == nil {
		return nil
	}
	var w *window
	err := contain(func() (err error) {
		changes := next.changes
		if baseline != prev || from.source == SourceStart {
			changes = config.Diff(baseline.set, next.set)
		}
		w, err = openWindow(baseline, next, changes, before, settings, r.metrics)
		return err
	})
	if err != nil {
		r.logInternal(err)
		r.log.Error("the edit is not observed, and will not be rolled back", "revision", next.revision, "error", err)
		return nil
	}
	if w == nil {
		return nil
	}
	r.baseline, w.undo, w.inPlace, w.hash = baseline, !from.force, from.holds != nil, filesOf(prev, next, from, uncovered != nil)
	w.edits = made.since(baseline.revision)
	if uncovered != nil {
		w.edits = uncoveredEdits
	}
	if len(w.edits) == 0 {
		w.edits = edits{{revision: next.revision, subjects: next.changes.Subjects()}}
	}
	if before != nil {
		w.chain = before.chain.after(before, now)
	}
	if from.source == SourceStart {
		r.log.Info("the start is observed like an edit of the last good set", "revision", next.revision, "last_good", baseline.revision)
	}
	next.window.Store(w)
	return w
}

// compareWith returns the generation to compare the next one with, and the window that goes on in that of the next one; nil: none does.
// baseline is the last whose own window ended well. If an edit that was covered comes into force, uncovered is the set before it.
func compareWith(baseline, prev, uncovered *generation, now time.Time) (*generation, *window) {
	before := prev.window.Load()
	switch {
	case uncovered != nil: // the window of the edit that was covered begins now
		return uncovered, nil
	case before == nil:
		return baseline, nil
	case !before.undo: // it was forced
		return prev, nil
	case before.chain.isOver(before.settings.Window.Std(), now):
		return cmp.Or(before.chain.after(before, now).stable, prev), nil
	}
	return baseline, before
}

// filesOf returns the hash of the files that are held if the edit is undone; empty: none are.
func filesOf(prev, next *generation, from trigger, uncovers bool) string {
	switch observed := prev.window.Load(); {
	case from.fromFiles(), from.source == SourceStart, uncovers && from.holds == nil:
		return next.set.DesiredHash()
	case from.holds != nil:
		return from.holds.hash
	case from.overrides != nil && observed != nil:
		return observed.hash // undoing the edit that overrides change undoes the files
	}
	return ""
}

// lastGood returns the generation of the last good set, to compare a start with it; nil if there is none, or if it is what starts. It
// shares the services of the start, and is never put in force.
func (r *rollbacks) lastGood(next *generation) (g *generation) {
	if r.state == nil || next.set.Replaces != "" {
		return nil
	}
	err := contain(func() error {
		set, revision, err := standIns{r.state.store, r.state.source}.newest(next.set)
		if set == nil {
			return err
		}
		g, err = r.compared(set, revision, next, nil)
		return err
	})
	if err != nil {
		r.logInternal(err)
		r.log.Warn("the start is not observed, and will not be rolled back: the last good set cannot be used", "error", firstProblem(err))
	}
	return g
}

// compared returns a generation of a set, to compare next with it. Its rules have the state of those in force; nil: none are.
func (r *rollbacks) compared(set *config.Set, revision int, next *generation, inForce *policies.Snapshot) (g *generation, err error) {
	g = &generation{revision: revision, set: set, out: outgoing.Connections{Set: set}}
	if g.identity, _, err = newIdentity(set, r.name, next); err != nil {
		return nil, err
	}
	for i := range set.Manifest.Services {
		cfg := &set.Manifest.Services[i]
		for _, s := range next.services {
			if s.Config.Name == cfg.Name && s.Config.Handler == cfg.Handler {
				g.routes.Services = append(g.routes.Services, route.NewService(cfg, s.instance.service, nil, &s.instance.RefCount))
			}
		}
	}
	o := compileOptions(set, r.name)
	o.Revision = revision
	if g.policies, err = policies.Compile(set.Rules, g.routes.Targets(), inForce, o); err != nil {
		return nil, err
	}
	g.routes.Bind(g.policies, r.metrics)
	r.metrics.Retain(next.routes.Serves) // nothing is counted for its methods
	gw, err := r.gateway(g)
	if err != nil {
		return nil, err
	}
	g.gateways = map[string]*gateway.Gateway{"": gw}
	return g, nil
}

// uncovered returns the generation to compare next with if an edit that overrides covered comes into force with it, and nil otherwise:
// the set without that edit, with the overrides of next. With it come the edits that are undone by going back to it.
func (r *rollbacks) uncovered(prev, next *generation) (g *generation, undone edits) {
	if !r.covered.uncovers(prev, next) {
		return nil, nil
	}
	err := contain(func() error {
		var back *config.Set
		back, undone = r.covered.back(next, r.source, r.check)
		v, err := next.overrides.on(back, time.Now())
		if err != nil {
			return err
		}
		if g, err = r.compared(v.set, r.covered.revision, next, prev.policies); err == nil {
			g.overrides = next.overrides
		}
		return err
	})
	if err != nil {
		r.logInternal(err)
		r.log.Error("an edit that an override has covered is not observed, and will not be rolled back", "revision", next.revision, "error", firstProblem(err))
		return nil, nil
	}
	return g, undone
}

// follow judges an edit until its window is over, and undoes it if there is evidence against it.
func (r *rollbacks) follow(w *window) {
	tick := time.NewTicker(judgeEvery)
	defer tick.Stop()
	var again time.Time
	wait := judgeEvery
	for r.current.Load() == w.next && w.next.window.Load() == w {
		select {
		case <-r.applyCtx.Done():
			return
		case now := <-tick.C:
			if now.Before(again) {
				continue
			}
			err := contain(func() error {
				v := w.judge(now)
				if v.bad != "" && w.undo {
					return r.undo(w, v)
				}
				if v.over {
					r.end(w, v)
				}
				return nil
			})
			if err != nil {
				r.logInternal(err)
				wait = min(2*wait, undoAtLeastEvery)
				again = now.Add(wait)
			}
		}
	}
}

// undoAtLeastEvery is the longest pause between two attempts to undo an edit.
const undoAtLeastEvery = 10 * time.Second

// undo goes back to the baseline of a window.
func (r *rollbacks) undo(w *window, v verdict) error {
	guilty := w.edits.guilty(v.rule)
	why := fmt.Sprintf("r%d rolled back: %s. To keep it: %s%s", guilty, v.bad, w.wayOut(v.cause), w.edits.others(guilty, w.inPlace))
	set := *w.baseline.set.Plain()
	set.Replaces, set.Desired = "", nil // those were the files of another edit
	from := trigger{source: SourceAutoRollback, why: why, undoes: &undoing{w, guilty, v.text}}
	if w.hash != "" {
		from.holds = &heldFiles{hash: w.hash, why: why}
	}
	r.hurry()
	_, err := r.apply(context.Background(), &set, from)
	if err == nil || errors.Is(err, errSuperseded) || errors.Is(err, ErrDraining) {
		return nil
	}
	r.log.Error("the edit should be rolled back, but cannot be: it is tried again", "revision", w.next.revision, "why", v.bad, "error", err)
	return err
}

// end ends a window, whose edit stays.
func (r *rollbacks) end(w *window, v verdict) {
	r.applying.Lock()
	defer r.applying.Unlock()
	if w.next.window.Load() != w || r.current.Load() != w.next {
		return
	}
	r.baseline = w.next
	r.amend(w.next.revision, func(about *Attempt) { about.Verdict = v.text })
	w.next.window.Store(nil) // after the verdict, which a reader that finds no window looks for
	if v.bad == "" {
		r.state.judged(w.next.revision, w.next.set, v.text)
	} else {
		r.log.Error("the edit would have been rolled back", "revision", w.next.revision, "why", v.bad)
	}
}

// isHeld reports whether the files with a hash were rolled back, or are replaced by a command.
func (r *rollbacks) isHeld(hash string) bool {
	h := r.held.Load()
	return h != nil && h.hash == hash
}

// release forgets the held files if the files on disk, with the given hash, are what runs.
func (r *rollbacks) release(hash string) {
	r.locked(func(g *generation) {
		if g.set.DesiredHash() == hash && r.held.Swap(nil) != nil {
			r.metrics.SetInSync(r.inSync(r.history.latest()))
		}
	})
}

// stillHeld returns the outcome of reading files that are held. It is recorded unless the watcher has read them.
func (r *rollbacks) stillHeld(set *config.Set, from trigger) Attempt {
	about := from.attempt(r.current.Load(), ResultHeld, time.Now())
	about.Hash, about.Rules, about.Files = set.Hash, len(set.Rules), set.Files
	if h := r.held.Load(); h != nil {
		about.Why = h.why
	}
	if from.source != SourceFile {
		r.record(&about, nil)
	}
	return about
}

// stricter returns the settings by which an edit is judged; nil: it is not.
func stricter(prev, next *config.Set) *config.AutoRollback {
	return prev.Manifest.Policies.AutoRollback.Stricter(next.Manifest.Policies.AutoRollback)
}
