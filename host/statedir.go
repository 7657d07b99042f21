package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/state"
	"github.com/easymicro/easymicro/host/telemetry"
)

// goodAfter is how long a set must be in force, without the process dying, to be good.
const goodAfter = 10 * time.Second

// goodWithoutEvidenceAfter is how long a set must be in force to be good if there were too few calls for a verdict.
const goodWithoutEvidenceAfter = time.Hour

// stateDir keeps on disk what a host has to know after a restart. A nil stateDir keeps nothing. A failed write is a warning: the
// host goes on.
type stateDir struct {
	store  *state.Store
	writer *stateWriter
	passed bool // by the process before, which writes until begin
	reads  files.Gate
	source Source
	log    *slog.Logger
	dir    string // as the manifest has it
	owner  string // this process, for others
	tried  map[string]bool
	before []Attempt  // of previous processes, the oldest first
	held   *heldFiles // the files in place of which a revision of theirs runs; nil: none
	deadly string     // hash of the files under which the process died too often; empty: none

	history *history // of the host

	mu        sync.Mutex
	goodAfter time.Duration // how long a set must be in force to be good
	ready     bool
	closed    bool
	untilGood *time.Timer // marks what runs as good
}

// catchCrashes has the runtime write its crash report to the state directory too.
func (d *stateDir) catchCrashes() {
	f, err := os.OpenFile(d.store.Boot.CrashFile(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		err = debug.SetCrashOutput(f, debug.CrashOptions{})
		_ = f.Close() // the runtime has a descriptor of its own
	}
	if err != nil {
		d.log.Warn("host.state: crashes of the process are not counted", "error", err)
	}
}

// choose returns the set to start from: set, unless the process died under it too often and an older one is good.
func (d *stateDir) choose(set *config.Set) *config.Set {
	if d == nil {
		return set
	}
	deaths := d.store.Boot.Condemned(set.Hash)
	if deaths == nil {
		return d.pinned(set)
	}
	p := config.Problem{
		File: set.Manifest.Position("").File, Line: 1, Column: 1, Message: fmt.Sprintf("the process died %d times under these files, the last time at %s: %s; "+
			"change them, or run easymicro reload --force", len(deaths), deaths[len(deaths)-1].At.UTC().Format(time.RFC3339), deaths[len(deaths)-1].Why),
	}
	d.deadly = set.Hash
	next := d.instead(set, config.Problems{p})
	if next == nil {
		d.log.Warn("no older good set to start from: the set under which the process died is started again", "why", p.Message)
		return set
	}
	d.log.Error("an older set is started from", "running", next.Fallback, "why", p.String())
	return next
}

// pinned returns the set that the previous process ran in place of the files, unless these have changed: then it returns set. It
// does not return a revision that was not confirmed, but the one before it.
func (d *stateDir) pinned(set *config.Set) *config.Set {
	last, before := d.lastApplied()
	by := pinnedBy(d.before, &last)
	files, why := last.Pinned, by.Why
	if by.Source == SourceApply || by.Source == SourceRollback {
		why = behindText(last.Files, set.Files)
	}
	if !last.RevertAt.IsZero() {
		files, why = cmp.Or(files, last.Hash), fmt.Sprintf("r%d was not confirmed: r%d runs again", last.Number, before.Number)
		last = before
	}
	source, ok := d.source.(keptLoader)
	if !ok || files == "" || files != set.DesiredHash() || last.Hash == files || d.store.Boot.Condemned(last.Hash) != nil {
		return set
	}
	texts, err := d.store.Texts(last.Files)
	var kept *config.Set
	if err == nil {
		kept, err = source.LoadKept(texts)
	}
	if err != nil {
		d.log.Error("what ran in place of the files cannot be loaded: the files are applied again", "why", why, "error", err)
		return set
	}
	kept.Hash, kept.Replaces, kept.Desired = last.Hash, files, set.Files
	d.held = &heldFiles{hash: files, why: why, set: set}
	return kept
}

// lastApplied returns the last revision that was applied and not undone, and the one before.
func (d *stateDir) lastApplied() (last, before Attempt) {
	for _, r := range d.before {
		if r.MadeRevision() {
			if last.RevertAt.IsZero() { // else an override was put in force before it was confirmed
				before = last
			}
			last = r
		}
	}
	return last, before
}

// startTrigger returns what starts a host with a set.
func (d *stateDir) startTrigger(set *config.Set) trigger {
	from := trigger{source: SourceStart}
	switch {
	case d == nil:
	case d.held != nil && set.Replaces == d.held.hash:
		from.holds, from.heldAtStart, from.why = d.held, true, d.held.why
	case d.deadly != "" && set.Replaces == d.deadly:
		from.heldAtStart, from.why = true, firstProblem(set.Rejected)
	}
	return from
}

// instead returns the next good set to start from in place of one that has problems; nil if there is none.
func (d *stateDir) instead(set *config.Set, problems config.Problems) *config.Set {
	bad := badFiles{set.DesiredHash(), set.Files, problems}
	if set.Replaces != "" {
		bad.files, bad.problems = set.Desired, set.Rejected.With(problems)
	}
	d.tried[set.Hash] = true
	next, _ := standIns{d.store, d.source}.next(bad, d.tried)
	if next != nil {
		d.tried[next.Hash] = true
	}
	return next
}

// afterFailure returns the set to start from after one that does not fit this binary; nil if there is none, or none is wanted.
func (d *stateDir) afterFailure(set *config.Set, err error) *config.Set {
	problems, ok := errors.AsType[config.Problems](err)
	if d == nil || !ok || set.Manifest.Policies.OnBadStart != config.OnBadStartLastGood {
		return nil
	}
	return d.instead(set, problems)
}

// attach adds the attempts of previous processes to the history of a host, and has failed writes counted in its metrics.
func (d *stateDir) attach(h *history, metrics *telemetry.Metrics) {
	if d == nil {
		return
	}
	d.history = h
	d.writer.metrics.Store(metrics)
	h.restore(d.before)
}

// number returns the last revision of previous processes; 0 if there is none.
func (d *stateDir) number() int {
	if d == nil {
		return 0
	}
	return d.store.Number()
}

// try records that a set is about to be started.
func (d *stateDir) try(set *config.Set) {
	if d == nil {
		return
	}
	n, now := 0, time.Now()
	err := d.writer.do(func() (err error) {
		n, err = d.store.Boot.Try(set.Hash, now)
		return err
	})
	if err == nil && n > 1 {
		d.log.Warn(fmt.Sprintf("try %d of %d of a set under which the process died", n, state.Tries), "hash", set.Hash)
	}
}

// add keeps an attempt, and returns a warning if a revision that it made is not on disk. set is the one that was applied; it is marked
// good after a while unless it is observed.
func (d *stateDir) add(r *Attempt, set *config.Set, keep int, observed bool) (lost config.Problems) {
	if d == nil {
		return nil
	}
	kept := *r
	var texts map[string][]byte
	if set != nil {
		texts = set.Texts
	}
	d.writer.forgive()
	if r.MadeRevision() || r.Result == ResultRejected { // as in memory
		if err := d.writer.do(func() error { return d.store.Add(&kept, texts, keep) }); err != nil && r.MadeRevision() {
			lost = config.Problems{{Path: "host.state.dir", Message: fmt.Sprintf("r%d is not on disk: a start may forget it: %v", r.Number, err), Warning: true}}
		}
	}
	if r.Source != SourceStart && r.Source != SourceFile && r.IsTold() {
		e := state.AuditEntry{
			At: r.At, Action: r.Source, Who: r.Who, Why: r.Why, Revision: r.Number, Hash: r.Hash, Result: r.Result, Error: r.Error, Times: r.Times,
		}
		if len(r.Problems.Errors()) > 0 {
			e.Error = firstProblem(r.Problems)
		}
		d.audit(e)
	}
	if set != nil && (observed || !ofOverrides(r)) { // whether the set is good does not depend on overrides
		d.runs(r.Number, set, observed)
	}
	return lost
}

// audit keeps an entry of the audit log.
func (d *stateDir) audit(e state.AuditEntry) {
	if d != nil {
		_ = d.writer.do(func() error { return d.store.Audit.Add(e) })
	}
}

// serves records that the host is ready.
func (d *stateDir) serves(g *generation) {
	if d == nil {
		return
	}
	d.mu.Lock()
	d.ready = true
	d.mu.Unlock()
	d.runs(g.revision, g.set, g.window.Load() != nil)
}

// runs records which set a ready host runs, and marks it good after a while, unless it is observed.
func (d *stateDir) runs(number int, set *config.Set, observed bool) {
	if !d.isReady() {
		return
	}
	now := time.Now()
	_ = d.writer.do(func() error { return d.store.Boot.Ready(set.Hash, now) })
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	if d.untilGood != nil {
		d.untilGood.Stop()
	}
	if !observed {
		d.untilGood = time.AfterFunc(d.goodAfter, func() { d.markGood(number, set, admin.VerdictKept) })
	}
}

func (d *stateDir) isReady() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ready && !d.closed
}

// amend changes the record of a revision.
func (d *stateDir) amend(number int, change func(*Attempt)) {
	if d != nil {
		_ = d.writer.do(func() error { return d.store.Amend(number, change) })
	}
}

// judged records the verdict on a revision that was observed. Without evidence it is good after an hour.
func (d *stateDir) judged(number int, set *config.Set, verdict string) {
	if d == nil {
		return
	}
	if verdict == admin.VerdictKept {
		d.markGood(number, set, verdict)
		return
	}
	_ = d.writer.do(func() error { return d.store.Boot.Survived(set.Hash) })
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	d.untilGood = time.AfterFunc(goodWithoutEvidenceAfter, func() { d.markGood(number, set, verdict) })
}

// markGood records that a revision was in force for long enough. A fallback has the hash of the files that it replaces, and a set
// without texts could not be started from: neither becomes a good set.
func (d *stateDir) markGood(number int, set *config.Set, verdict string) {
	now := time.Now()
	_ = d.writer.do(func() error { return d.store.Boot.Survived(set.Hash) })
	d.history.amend(number, func(r *Attempt) { r.Verdict = verdict })
	if set.Hash != set.Replaces && set.Texts != nil {
		_ = d.writer.do(func() error { return d.store.MarkGood(number, verdict, now) })
	}
}

// forget drops the deaths of the process under a set.
func (d *stateDir) forget(set *config.Set) {
	if d != nil {
		_ = d.writer.do(func() error { return d.store.Boot.Forget(set.Hash) })
	}
}

// texts returns the texts of the files of an attempt, by path.
func (d *stateDir) texts(r *Attempt) (map[string][]byte, error) {
	if d == nil {
		return nil, errors.New("the texts of files are kept only with host.state")
	}
	return files.Through(context.Background(), &d.reads, func(at func(string)) (map[string][]byte, error) {
		at(d.dir)
		return d.store.Texts(r.Files)
	})
}

// warning returns why the state directory cannot be written; nil if it can.
func (d *stateDir) warning() *config.Problem {
	if d == nil {
		return nil
	}
	return d.writer.warning()
}

// close records that the process ends in order, and unlocks the directory.
func (d *stateDir) close() {
	if d == nil {
		return
	}
	d.mu.Lock()
	closed := d.closed
	d.closed = true
	if d.untilGood != nil {
		d.untilGood.Stop()
	}
	d.mu.Unlock()
	if closed {
		return
	}
	if d.writer.mayWrite() {
		_ = d.writer.do(d.store.Boot.End)
	}
	_ = debug.SetCrashOutput(nil, debug.CrashOptions{})
	if d.writer.close() {
		_ = d.store.Close() // otherwise it is locked until the process ends
	}
}
