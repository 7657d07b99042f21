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

// memory keeps on disk what a host has to know after a restart. A nil memory keeps nothing. A failed write is a warning: the
// host goes on.
type memory struct {
	store  *state.Store
	writer *stateWriter
	reads  files.Gate
	source Source
	log    *slog.Logger
	dir    string // as the manifest has it
	tried  map[string]bool
	before []Attempt  // of previous processes, the oldest first
	held   *heldFiles // the files in place of which a revision of theirs runs; nil: none
	deadly string     // hash of the files under which the process died too often; empty: none

	history *history // of the host

	mu     sync.Mutex
	good   time.Duration // how long a set must be in force to be good
	ready  bool
	closed bool
	window *time.Timer
}

// openMemory opens the state directory of a manifest, and counts the previous process if it died. It returns nil if the manifest
// has none.
func openMemory(set *config.Set, source Source, log *slog.Logger) (*memory, error) {
	s := set.Manifest.Host.State
	if s == nil {
		return nil, nil //nolint:nilnil // a nil memory keeps nothing
	}
	dir := set.Path(s.Dir)
	store, err := state.Open(dir, fmt.Sprintf("process %d (host %s)", os.Getpid(), hostName(set)))
	if err != nil {
		return nil, stateProblem(set, err)
	}
	m := &memory{store: store, source: source, log: log, dir: s.Dir, tried: make(map[string]bool), good: goodAfter}
	death, err := store.Boot.Settle(time.Now())
	if err != nil {
		_ = store.Close()
		return nil, stateProblem(set, err)
	}
	m.writer = newStateWriter(s.Dir, log)
	m.before = store.History(s.History)
	for _, w := range store.Warnings() {
		log.Warn("host.state: " + w)
	}
	if death != nil {
		log.Warn("the last run of this host ended badly", "why", death.Why, "hash", death.Hash)
	}
	m.catchCrashes()
	return m, nil
}

// stateProblem returns the problem of a directory that cannot be used.
func stateProblem(set *config.Set, err error) error {
	message := fmt.Sprintf("cannot be used: %v: choose a directory that this user may write to", err)
	if used := new(state.InUseError); errors.As(err, &used) {
		message = used.Error()
	}
	return set.ProblemAt("host.state.dir", message)
}

// catchCrashes has the runtime write its crash report to the state directory too.
func (m *memory) catchCrashes() {
	f, err := os.OpenFile(m.store.Boot.CrashFile(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		err = debug.SetCrashOutput(f, debug.CrashOptions{})
		_ = f.Close() // the runtime has a descriptor of its own
	}
	if err != nil {
		m.log.Warn("host.state: crashes of the process are not counted", "error", err)
	}
}

// choose returns the set to start from: set, unless the process died under it too often and an older one is good.
func (m *memory) choose(set *config.Set) *config.Set {
	if m == nil {
		return set
	}
	deaths := m.store.Boot.Condemned(set.Hash)
	if deaths == nil {
		return m.pinned(set)
	}
	p := config.Problem{
		File: set.Manifest.Position("").File, Line: 1, Column: 1, Message: fmt.Sprintf("the process died %d times under these files, the last time at %s: %s; "+
			"change them, or run easymicro reload --force", len(deaths), deaths[len(deaths)-1].At.UTC().Format(time.RFC3339), deaths[len(deaths)-1].Why),
	}
	m.deadly = set.Hash
	next := m.instead(set, config.Problems{p})
	if next == nil {
		m.log.Warn("no older good set to start from: the set under which the process died is started again", "why", p.Message)
		return set
	}
	m.log.Error("an older set is started from", "running", next.Fallback, "why", p.String())
	return next
}

// pinned returns the set that the previous process ran in place of the files, unless these have changed: then it returns set. It
// does not return a revision that was not confirmed, but the one before it.
func (m *memory) pinned(set *config.Set) *config.Set {
	last, before := m.lastApplied()
	by := pinnedBy(m.before, &last)
	files, why := last.Pinned, by.Why
	if by.Source == SourceApply || by.Source == SourceRollback {
		why = behindText(last.Files, set.Files)
	}
	if !last.RevertAt.IsZero() {
		files, why = cmp.Or(files, last.Hash), fmt.Sprintf("r%d was not confirmed: r%d runs again", last.Number, before.Number)
		last = before
	}
	source, ok := m.source.(keptLoader)
	if !ok || files == "" || files != set.DesiredHash() || last.Hash == files || m.store.Boot.Condemned(last.Hash) != nil {
		return set
	}
	texts, err := m.store.Texts(last.Files)
	var kept *config.Set
	if err == nil {
		kept, err = source.LoadKept(texts)
	}
	if err != nil {
		m.log.Error("what ran in place of the files cannot be loaded: the files are applied again", "why", why, "error", err)
		return set
	}
	kept.Hash, kept.Replaces, kept.Desired = last.Hash, files, set.Files
	m.held = &heldFiles{hash: files, why: why, set: set}
	return kept
}

// lastApplied returns the last revision that was applied and not undone, and the one before.
func (m *memory) lastApplied() (last, before Attempt) {
	for _, r := range m.before {
		if r.MadeRevision() {
			if last.RevertAt.IsZero() { // else an override was put in force before it was confirmed
				before = last
			}
			last = r
		}
	}
	return last, before
}

// start returns what starts a host with a set.
func (m *memory) start(set *config.Set) trigger {
	from := trigger{source: SourceStart}
	switch {
	case m == nil:
	case m.held != nil && set.Replaces == m.held.hash:
		from.holds, from.held, from.why = m.held, true, m.held.why
	case m.deadly != "" && set.Replaces == m.deadly:
		from.held, from.why = true, firstProblem(set.Rejected)
	}
	return from
}

// instead returns the next good set to start from in place of one that has problems; nil if there is none.
func (m *memory) instead(set *config.Set, problems config.Problems) *config.Set {
	bad := badFiles{set.DesiredHash(), set.Files, problems}
	if set.Replaces != "" {
		bad.files, bad.problems = set.Desired, set.Rejected.With(problems)
	}
	m.tried[set.Hash] = true
	next := standIns{m.store, m.source}.next(bad, m.tried)
	if next != nil {
		m.tried[next.Hash] = true
	}
	return next
}

// afterFailure returns the set to start from after one that does not fit this binary; nil if there is none, or none is wanted.
func (m *memory) afterFailure(set *config.Set, err error) *config.Set {
	problems, ok := errors.AsType[config.Problems](err)
	if m == nil || !ok || set.Manifest.Policies.OnBadStart != config.OnBadStartLastGood {
		return nil
	}
	return m.instead(set, problems)
}

// attach adds the attempts of previous processes to the history of a host, and has failed writes counted in its metrics.
func (m *memory) attach(h *history, metrics *telemetry.Metrics) {
	if m == nil {
		return
	}
	m.history = h
	m.writer.metrics.Store(metrics)
	h.restore(m.before)
}

// number returns the last revision of previous processes; 0 if there is none.
func (m *memory) number() int {
	if m == nil {
		return 0
	}
	return m.store.Number()
}

// try records that a set is about to be started.
func (m *memory) try(set *config.Set) {
	if m == nil {
		return
	}
	n, now := 0, time.Now()
	err := m.writer.do(func() (err error) {
		n, err = m.store.Boot.Try(set.Hash, now)
		return err
	})
	if err == nil && n > 1 {
		m.log.Warn(fmt.Sprintf("try %d of %d of a set under which the process died", n, state.Tries), "hash", set.Hash)
	}
}

// add keeps an attempt, and returns a warning if a revision that it made is not on disk. set is the one that was applied; it is marked
// good after a while unless it is observed.
func (m *memory) add(r *Attempt, set *config.Set, keep int, observed bool) (lost config.Problems) {
	if m == nil {
		return nil
	}
	kept := *r
	var texts map[string][]byte
	if set != nil {
		texts = set.Texts
	}
	m.writer.forgive()
	if r.Result != ResultUnchanged {
		if err := m.writer.do(func() error { return m.store.Add(&kept, texts, keep) }); err != nil && r.MadeRevision() {
			lost = config.Problems{{Path: "host.state.dir", Message: fmt.Sprintf("r%d is not on disk: a start may forget it: %v", r.Number, err), Warning: true}}
		}
	}
	if r.Source != SourceStart && r.Source != SourceFile {
		m.audit(state.AuditEntry{
			At: r.At, Action: r.Source, Who: r.Who, Why: r.Why, Revision: r.Number, Hash: r.Hash, Result: r.Result, Error: r.Error,
		})
	}
	if set != nil && (observed || !ofOverrides(r)) { // whether the set is good does not depend on overrides
		m.runs(r.Number, set, observed)
	}
	return lost
}

// audit keeps an entry of the audit log.
func (m *memory) audit(e state.AuditEntry) {
	if m != nil {
		_ = m.writer.do(func() error { return m.store.Audit.Add(e) })
	}
}

// serves records that the host is ready.
func (m *memory) serves(g *generation) {
	if m == nil {
		return
	}
	m.mu.Lock()
	m.ready = true
	m.mu.Unlock()
	m.runs(g.revision, g.set, g.window.Load() != nil)
}

// runs records which set a ready host runs, and marks it good after a while, unless it is observed.
func (m *memory) runs(number int, set *config.Set, observed bool) {
	if !m.isReady() {
		return
	}
	now := time.Now()
	_ = m.writer.do(func() error { return m.store.Boot.Ready(set.Hash, now) })
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	if m.window != nil {
		m.window.Stop()
	}
	if !observed {
		m.window = time.AfterFunc(m.good, func() { m.markGood(number, set, admin.VerdictKept) })
	}
}

func (m *memory) isReady() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ready && !m.closed
}

// amend changes the record of a revision.
func (m *memory) amend(number int, change func(*Attempt)) {
	if m != nil {
		_ = m.writer.do(func() error { return m.store.Amend(number, change) })
	}
}

// settled records the verdict on a revision that was observed. Without evidence it is good after an hour.
func (m *memory) settled(number int, set *config.Set, verdict string) {
	if m == nil {
		return
	}
	if verdict == admin.VerdictKept {
		m.markGood(number, set, verdict)
		return
	}
	_ = m.writer.do(func() error { return m.store.Boot.Survived(set.Hash) })
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.window = time.AfterFunc(goodWithoutEvidenceAfter, func() { m.markGood(number, set, verdict) })
}

// markGood records that a revision was in force for long enough. A fallback has the hash of the files that it replaces, and a set
// without texts could not be started from: neither becomes a good set.
func (m *memory) markGood(number int, set *config.Set, verdict string) {
	now := time.Now()
	_ = m.writer.do(func() error { return m.store.Boot.Survived(set.Hash) })
	m.history.amend(number, func(r *Attempt) { r.Verdict = verdict })
	if set.Hash != set.Replaces && set.Texts != nil {
		_ = m.writer.do(func() error { return m.store.MarkGood(number, verdict, now) })
	}
}

// forget drops the deaths of the process under a set.
func (m *memory) forget(set *config.Set) {
	if m != nil {
		_ = m.writer.do(func() error { return m.store.Boot.Forget(set.Hash) })
	}
}

// texts returns the texts of the files of an attempt, by path.
func (m *memory) texts(r *Attempt) (map[string][]byte, error) {
	if m == nil {
		return nil, errors.New("the texts of files are kept only with host.state")
	}
	return files.Through(context.Background(), &m.reads, func(at func(string)) (map[string][]byte, error) {
		at(m.dir)
		return m.store.Texts(r.Files)
	})
}

// warning returns why the state directory cannot be written; nil if it can.
func (m *memory) warning() *config.Problem {
	if m == nil {
		return nil
	}
	return m.writer.warning()
}

// close records that the process ends in order, and unlocks the directory.
func (m *memory) close() {
	if m == nil {
		return
	}
	m.mu.Lock()
	closed := m.closed
	m.closed = true
	if m.window != nil {
		m.window.Stop()
	}
	m.mu.Unlock()
	if closed {
		return
	}
	_ = m.writer.do(m.store.Boot.End)
	_ = debug.SetCrashOutput(nil, debug.CrashOptions{})
	if m.writer.close() {
		_ = m.store.Close() // otherwise it is locked until the process ends
	}
}
