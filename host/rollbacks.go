package host

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
)

// errSuperseded is the error of a rollback of an edit that another one has replaced.
var errSuperseded = errors.New("the edit has been replaced")

// judgeEvery is how often the evidence against an edit is judged.
const judgeEvery = 10 * time.Millisecond

// rollbacks observes edits and undoes those that refuse calls which were served before.
type rollbacks struct {
	baseline *generation // whose own window ended well; nil: the one in force; guarded by applying
	held     atomic.Pointer[heldFiles]
}

// heldFiles are files that were rolled back: they are not applied again unless they change, or by force.
type heldFiles struct{ hash, why string }

// undoing is a rollback.
type undoing struct {
	window       *window
	why, verdict string
}

// observe opens the window of a new generation, before it comes into force. It returns nil if the edit is not observed.
func (a *applier) observe(prev, next *generation, from trigger) *window {
	baseline := a.baseline
	if baseline == nil {
		baseline = prev
	}
	a.baseline = next
	if prev == nil || from.undoes != nil {
		return nil
	}
	before := prev.window.Load()
	settings := stricter(prev.set, next.set)
	if settings == nil {
		return nil
	}
	w, err := openWindow(baseline, next, settings)
	if err != nil {
		a.log.Error("the edit is not observed, and will not be rolled back", "revision", next.revision, "error", err)
		return nil
	}
	if w == nil {
		return nil
	}
	a.baseline, w.undo = baseline, !from.force
	if before != nil {
		w.began = before.began
	}
	next.window.Store(w)
	return w
}

// follow judges an edit until its window is over, and undoes it if there is evidence against it.
func (a *applier) follow(w *window) {
	tick := time.NewTicker(judgeEvery)
	defer tick.Stop()
	for a.current.Load() == w.next && w.next.window.Load() == w {
		select {
		case <-a.applyCtx.Done():
			return
		case now := <-tick.C:
			if v := w.judge(now); v.bad != "" && w.undo {
				a.undo(w, v)
			} else if v.over {
				a.settle(w, v)
			}
		}
	}
}

// undo goes back to the baseline of a window.
func (a *applier) undo(w *window, v verdict) {
	why := fmt.Sprintf("r%d rolled back: %s. To keep it: %s", w.next.revision, v.bad, w.wayOut(v.cause))
	_, err := a.apply(context.Background(), w.baseline.set, trigger{source: SourceAutoRollback, undoes: &undoing{w, why, v.text}})
	switch {
	case err == nil, errors.Is(err, errSuperseded), errors.Is(err, ErrDraining):
	default:
		a.log.Error("the edit should be rolled back, but cannot be", "revision", w.next.revision, "why", v.bad, "error", err)
		a.settle(w, v)
	}
}

// settle ends a window.
func (a *applier) settle(w *window, v verdict) {
	a.applying.Lock()
	defer a.applying.Unlock()
	if !w.next.window.CompareAndSwap(w, nil) || a.current.Load() != w.next {
		return
	}
	a.baseline = w.next
	a.history.amend(w.next.revision, func(r *Attempt) { r.Verdict = v.text })
	if v.bad != "" {
		a.log.Error("the edit would have been rolled back", "revision", w.next.revision, "why", v.bad)
	}
}

// isHeld reports whether the files with a hash were rolled back.
func (a *applier) isHeld(hash string) bool {
	h := a.held.Load()
	return h != nil && h.hash == hash
}

// release forgets the files that were rolled back, since they have changed.
func (a *applier) release() {
	if a.held.Swap(nil) != nil {
		a.metrics.SetInSync(a.inSync(a.history.latest()))
	}
}

// stillHeld returns the outcome of reading files that were rolled back. It is recorded if it was requested.
func (a *applier) stillHeld(set *config.Set, c trigger) Attempt {
	r := Attempt{
		Number: a.current.Load().revision, Hash: set.Hash, At: time.Now(), Source: c.source, Who: c.who,
		Result: ResultHeld, Rules: len(set.Rules), Files: set.Files,
	}
	if h := a.held.Load(); h != nil {
		r.Why = h.why
	}
	if c.source != SourceFile {
		a.record(r, nil)
	}
	return r
}

// observed returns the edit that is observed; nil: none.
func (g *generation) observed() *admin.Observed {
	w := g.window.Load()
	if w == nil {
		return nil
	}
	o := &admin.Observed{
		Revision: g.revision, Baseline: w.baseline.revision, Since: w.opened, Until: w.opened.Add(w.settings.Window.Std()),
		Intended: w.intended.Load(), MinRequests: w.settings.MinRequests, Forced: !w.undo,
	}
	for _, t := range w.tallies() {
		o.Calls += t.through.Load()
		o.NewlyRefused += t.refused.Load()
	}
	return o
}
