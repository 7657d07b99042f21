package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/state"
)

// commands puts sets in force in place of the files: apply, rollback and confirm. It never writes files.
type commands struct {
	*reloads
	unconfirmed atomic.Pointer[unconfirmed]
}

// unconfirmed is a revision that is undone unless it is confirmed.
type unconfirmed struct {
	revision int
	at       time.Time
	done     chan struct{} // closed once it is confirmed
	before   *generation
	held     *heldFiles // in place of which the revision before ran
}

// plan returns what applying files would change, with problems and warnings. It changes nothing.
func (c *commands) plan(q *admin.ApplyRequest) (*admin.Difference, error) {
	next, holds, err := c.planned(q)
	var d *admin.Difference
	if err == nil {
		d, err = c.difference(next, q.AllowWider)
	}
	rejection := err
	if err == nil {
		d.Warnings = append(d.Warnings, c.transient(next, holds)...)
		rejection = d.Problems.Err()
	}
	if q.RecordRejection && rejection != nil {
		c.reject(c.applyTrigger(q), rejection)
	}
	return d, err
}

// planned returns the set to plan, and the files that it replaces.
func (c *commands) planned(q *admin.ApplyRequest) (*config.Set, *heldFiles, error) {
	c.reloading.Lock()
	defer c.reloading.Unlock()
	if g := c.current.Load(); q.IfMatch != "" && q.IfMatch != g.set.Hash {
		return nil, nil, c.superseded(g, trigger{match: q.IfMatch})
	}
	return c.withFiles(q)
}

func (c *commands) applyTrigger(q *admin.ApplyRequest) trigger {
	return trigger{source: SourceApply, who: q.Who, why: whyApplied(q), allowWider: q.AllowWider, match: q.IfMatch, heedsForecast: !q.Force}
}

// applyFiles puts files in force, besides those that run. Whatever the reason, a rejection is recorded.
func (c *commands) applyFiles(ctx context.Context, q *admin.ApplyRequest) (Attempt, error) {
	c.reloading.Lock()
	defer c.reloading.Unlock()
	from := c.applyTrigger(q)
	before, held := c.current.Load(), c.rollbacks.held.Load()
	next, err := c.toApply(q, &from)
	if err != nil {
		return c.reject(from, err), err
	}
	from.match = cmp.Or(q.IfMatch, before.set.Hash) // next is based on it
	if q.RevertAfter > 0 {
		from.revertAt = time.Now().Add(time.Duration(q.RevertAfter))
	}
	r, err := c.applyMatching(ctx, next, from)
	if err == nil && q.RevertAfter > 0 {
		u := &unconfirmed{r.Number, r.RevertAt, make(chan struct{}), before, held}
		c.unconfirmed.Store(u)
		c.retiring.Go(func() { c.await(u) })
	}
	return r, err
}

// toApply returns the set that a request asks for, and completes its trigger.
func (c *commands) toApply(q *admin.ApplyRequest, from *trigger) (next *config.Set, err error) {
	u := c.toConfirm()
	switch {
	case q.Unreadable != nil:
		return nil, q.Unreadable
	case u != nil:
		return nil, admin.Errorf(admin.CodeConflict, "r%d is not confirmed yet, and the host goes back at %s", u.revision, u.at.Format(time.TimeOnly)).
			WithHelp("easymicro confirm keeps it, easymicro rollback r%d goes back now", u.before.revision)
	}
	next, from.holds, err = c.withFiles(q)
	if err == nil {
		from.warnings = c.transient(next, from.holds)
	}
	return next, err
}

// applyMatching applies a set, and records too that something else runs than what it was made for.
func (c *commands) applyMatching(ctx context.Context, next *config.Set, from trigger) (Attempt, error) {
	r, err := c.apply(ctx, next, from)
	if stale := new(staleError); errors.As(err, &stale) {
		return c.reject(from, err), err
	}
	return r, err
}

// reject records an attempt by command that does not get as far as a set to apply.
func (c *commands) reject(from trigger, err error) Attempt {
	r := c.rejected(hashOf(err), nil, from, err)
	if !c.draining.Load() {
		c.record(&r, nil)
	}
	return r
}

// rollback puts a revision in force again, as a new one.
func (c *commands) rollback(ctx context.Context, q *admin.RollbackRequest) (Attempt, error) {
	c.rollbacks.hurry()
	c.reloading.Lock()
	defer c.reloading.Unlock()
	g := c.current.Load()
	entry, ok := c.history.applied(q.Revision)
	switch {
	case q.Revision == g.revision:
		return Attempt{}, admin.Errorf(admin.CodeBadRequest, "r%d is what runs", q.Revision).WithHelp("%s", c.known(g.revision))
	case ok && entry.Hash == g.set.Hash && (len(g.overrides) > 0 || ofOverrides(&entry.Attempt)):
		return Attempt{}, g.overrides.nothingToRollBack(q.Revision, g.revision)
	}
	from := trigger{source: SourceRollback, who: q.Who, why: fmt.Sprintf("back to r%d", q.Revision), match: q.IfMatch, allowWider: q.AllowWider}
	var next *config.Set
	var err error
	if ok {
		next, err = c.toRollBack(&entry, &from)
	} else {
		err = admin.Errorf(admin.CodeNotFound, "r%d is not known, or did not stay in force", q.Revision).WithHelp("%s", c.known(g.revision))
	}
	if q.Message != "" {
		from.why = q.Message + " (" + from.why + ")"
	}
	if err != nil {
		return c.reject(from, err), err
	}
	return c.applyMatching(ctx, next, from)
}

// toRollBack returns the set of a revision that is put in force again, and completes the trigger.
func (c *commands) toRollBack(entry *historyEntry, from *trigger) (*config.Set, error) {
	next, err := c.again(entry)
	if err != nil {
		return nil, err
	}
	next, from.holds, err = c.inPlaceOfFiles(next)
	if err != nil {
		return nil, err
	}
	if h := from.holds; h != nil {
		h.why = from.why + ": " + h.why
		from.why += "; " + behind(h, next)
	}
	from.warnings = c.transient(next, from.holds)
	return next, nil
}

// known returns which revisions can be put in force again.
func (c *commands) known(running int) string {
	const shown = 20
	var words []string
	for _, n := range c.history.numbers() {
		if n != running && len(words) < shown {
			words = append(words, fmt.Sprintf("r%d", n))
		}
	}
	if len(words) == 0 {
		return "no other revision can be put in force"
	}
	return "the host can go back to " + strings.Join(words, ", ")
}

// confirm keeps the revision that would be undone.
func (c *commands) confirm(who string) (Attempt, error) {
	c.applying.Lock()
	defer c.applying.Unlock()
	u := c.toConfirm()
	if u == nil {
		return Attempt{}, admin.Errorf(admin.CodeConflict, "no revision waits to be confirmed").WithHelp("easymicro history shows what became of it")
	}
	c.unconfirmed.Store(nil)
	close(u.done)
	c.amend(u.revision, func(r *Attempt) { r.RevertAt = time.Time{} })
	r, _ := c.history.applied(u.revision)
	c.state.audit(state.AuditEntry{At: time.Now(), Action: "confirm", Who: who, Revision: r.Number, Hash: r.Hash, Result: r.Result})
	c.log.Info("revision confirmed", "revision", u.revision, "who", who)
	return r.Attempt, nil
}

// toConfirm returns the revision that is undone unless it is confirmed; nil: none.
func (c *commands) toConfirm() *unconfirmed {
	if u := c.unconfirmed.Load(); u != nil && u.revision == c.current.Load().revision {
		return u
	}
	return nil
}

// await goes back to the revision before unless one is confirmed in time.
func (c *commands) await(u *unconfirmed) {
	t := time.NewTimer(time.Until(u.at))
	defer t.Stop()
	for wait := judgeEvery; ; wait = min(2*wait, undoAtLeastEvery) {
		select {
		case <-u.done:
			return
		case <-c.applyCtx.Done():
			return
		case <-t.C:
		}
		var w *unconfirmed
		c.locked(func(*generation) { w = c.toConfirm() }) // overrides make further revisions of it
		if w == nil || w.done != u.done {
			return
		}
		why := fmt.Sprintf("r%d was not confirmed: back to r%d", w.revision, w.before.revision)
		_, err := c.apply(context.Background(), w.before.set, trigger{
			source: SourceRollback, why: why, holds: w.held, force: true, reverts: w.revision, confirmed: w.done, accepted: true,
		})
		switch {
		case err == nil:
			return
		case !errors.Is(err, errSuperseded) && !errors.Is(err, ErrDraining):
			c.log.Error("the revision was not confirmed, but cannot be undone: it is tried again", "revision", w.revision, "error", err)
		}
		t.Reset(wait)
	}
}

// transient returns a warning if a set is lost when the process ends.
func (c *commands) transient(next *config.Set, holds *heldFiles) config.Problems {
	if holds == nil || c.state != nil {
		return nil
	}
	w := next.ProblemAt("host.state", "without host.state in the manifest this ends with the process: the next start applies the files")
	w[0].Warning = true
	return w
}

// again makes the set of a revision, with the current keys and certificates.
func (c *commands) again(entry *historyEntry) (*config.Set, error) {
	texts, err := c.textsOf(entry)
	source, ok := c.source.(keptLoader)
	switch {
	case err == nil && ok:
		set, err := source.LoadKept(texts)
		if err != nil {
			return nil, err
		}
		set.Hash = entry.Hash
		return set, nil
	case entry.set != nil:
		return entry.set, nil
	}
	return nil, admin.Errorf(admin.CodeNotFound, "the files of r%d are not known: %v", entry.Number, cmp.Or(err, ErrNoSource))
}

// inPlaceOfFiles returns next and the files that it replaces, or the set of the files and nil if the texts are the same.
func (c *commands) inPlaceOfFiles(next *config.Set) (*config.Set, *heldFiles, error) {
	if c.source == nil {
		return next, nil, nil
	}
	hash, err := c.hash()
	if err != nil {
		return nil, nil, err
	}
	h := &heldFiles{hash: hash}
	if p, ok := c.source.(peeker); ok {
		if files, err := p.Peek(c.applyCtx); err == nil && files.Fallback == "" {
			h.hash, h.set = files.Hash, files
		}
	}
	if h.set != nil && slices.Equal(h.set.Files, next.Files) {
		return h.set, nil, nil
	}
	h.why = behind(h, next) + ". Save what runs there too; easymicro reload --force goes back to the files"
	return next, h, nil
}

// withFiles makes the set of a request: what runs, with the files of the request in place of those of the same name.
func (c *commands) withFiles(q *admin.ApplyRequest) (*config.Set, *heldFiles, error) {
	running := c.current.Load().set
	source, ok := c.source.(keptLoader)
	texts := running.TextsByPath()
	switch {
	case !ok || len(texts) == 0:
		return nil, nil, ErrNoSource
	case running.Fallback != "":
		return nil, nil, fmt.Errorf("the %s runs in place of the files, and cannot be changed: fix the files first", running.Fallback)
	}
	var err error
	if q.Promote != nil {
		err = promote(running.Plain(), texts, q.Promote)
	} else {
		a := arrangement{name: running.Files[0].Path, manifest: running.Manifest, texts: texts, others: running.PolicyFiles()}
		err = a.place(q.Files, q.Prune)
	}
	if err != nil {
		return nil, nil, err
	}
	next, err := source.LoadKept(texts)
	if err != nil {
		return nil, nil, err
	}
	return c.inPlaceOfFiles(next)
}

// behind describes how files differ from the set that replaces them.
func behind(h *heldFiles, next *config.Set) string {
	if h.set == nil {
		return "the files are now behind: they are not valid"
	}
	return behindText(next.Files, h.set.Files)
}

func behindText(running, files []config.File) string {
	var differ []string
	for _, f := range slices.Concat(running, files) {
		if (!slices.Contains(running, f) || !slices.Contains(files, f)) && !slices.Contains(differ, f.Path) {
			differ = append(differ, f.Path)
		}
	}
	return "the files are now behind: " + strings.Join(differ, ", ")
}
