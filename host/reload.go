package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/config/watch"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/policies"
)

// ErrNoSource is the error of Reload on a host without a Source.
var ErrNoSource = errors.New("this host has no files to reload from")

// Source reads the set of a host again, when a change was noticed or on request.
type Source interface {
	// Load reads and decodes the whole set. The error is config.Problems when the files are wrong.
	Load(ctx context.Context) (*config.Set, error)
	// Hash returns the content hash that the set would have. It decodes no more than it takes to find the files.
	Hash() (string, error)
	// Dirs returns the directories to watch for changes of the set.
	Dirs() []string
}

// hashLoader is a Source that can load what its Hash has just read. Given another hash, it reads the set again.
type hashLoader interface {
	LoadHashed(ctx context.Context, hash string) (*config.Set, error)
}

// peeker is a Source that can read its set without remembering it as the one that was loaded.
type peeker interface {
	Peek(ctx context.Context) (*config.Set, error)
}

// mountChecker is a Source that can warn about files whose changes are not seen because of how they are mounted.
type mountChecker interface{ Mounted() config.Problems }

// secondLookAfter is how long a set that removes much must stay the same before it is applied: it may be half written.
const secondLookAfter = time.Second

// reloads reads the source of a host again when its files change or on request. Four things keep it from applying or
// rejecting files that are half written:
//   - The watcher waits until the files are quiet, and reads a change that came without an event twice.
//   - load.Read starts over when a link changes while it reads.
//   - load.Load reads a set with errors a second time, after retryInvalidAfter.
//   - look has a set that removes much protection stay the same for secondLookAfter.
type reloads struct {
	*applier
	source          Source         // nil: there is nothing to reload
	watcher         *watch.Watcher // nil without a source
	reloading       sync.Mutex     // held from reading the source until the set is applied
	secondLookAfter time.Duration

	panicked atomic.Pointer[string] // the value of the last panic while the files were hashed
}

// reload reads the set again and applies it; one that removes much, once it stays the same.
func (l *reloads) reload(ctx context.Context, from trigger) (Attempt, error) {
	ctx, interrupt := context.WithCancel(ctx)
	defer interrupt()
	stop := context.AfterFunc(l.applyCtx, interrupt)
	defer stop()
	for {
		r, doubtful, err := l.look(ctx, from)
		if doubtful == "" {
			return r, err
		}
		from.doubtful = doubtful
		if err := pause(ctx, l.secondLookAfter); err != nil && !l.draining.Load() {
			return Attempt{}, fmt.Errorf("not applied: the edit removes rules, and the files did not stay unchanged for %s: %w", l.secondLookAfter, err)
		}
	}
}

// look reads the set once and applies it. A set that removes much is applied only if its content was seen a while
// before; otherwise look returns its hash, and the caller looks again later.
func (l *reloads) look(ctx context.Context, from trigger) (r Attempt, doubtful string, err error) {
	if l.source == nil {
		return Attempt{}, "", ErrNoSource
	}
	l.reloading.Lock()
	defer l.reloading.Unlock()
	set, err := l.load(ctx, from.hash)
	running := l.current.Load().set.Plain()
	switch {
	case l.draining.Load():
		return Attempt{}, "", ErrDraining
	case err != nil && ctx.Err() != nil: // it was given up, which says nothing about the files
		return Attempt{}, "", ctx.Err()
	case err != nil:
		l.setWaiting(nil)
		r, err = l.recordRejected(from, err)
		return r, "", err
	case l.rollbacks.isHeld(set.Hash) && !from.force:
		l.setWaiting(nil)
		l.loaded(set.Hash)
		return l.rollbacks.stillHeld(set, from), "", nil
	case set.Hash == running.DesiredHash() && !from.force:
		l.rollbacks.release(set.Hash)
		l.setWaiting(nil)
		l.loaded(set.Hash)
		return l.unchanged(set, from), "", nil
	}
	if lost := config.Lost(running, set); set.Hash != from.doubtful && lost.Doubtful() {
		msg := "edit removes rules: it is applied if it is unchanged in " + l.secondLookAfter.String()
		l.setWaiting(&waitingEdit{set.Hash, "the " + msg})
		l.log.Info(msg, "source", from.source, "lost", problemLines(lost.Warnings().Few()))
		return Attempt{}, set.Hash, nil
	}
	l.setWaiting(nil)
	l.loaded(set.Hash)
	if from.force {
		l.state.forget(set)
	}
	from.warnings = l.replaced(set)
	r, err = l.apply(ctx, set, from)
	return r, "", err
}

// replaced returns warnings about changes that an operator has put in force in place of the files, and that an edit of the files
// takes back.
func (l *reloads) replaced(next *config.Set) (warnings config.Problems) {
	h, g := l.rollbacks.held.Load(), l.current.Load()
	if h == nil || h.set == nil {
		return nil
	}
	put := config.Diff(h.set, g.set.Plain()).Subjects()
	back := slices.DeleteFunc(config.Diff(g.set.Plain(), next), func(c config.Change) bool { return !put[c.Subject] })
	for _, line := range back.Lines() {
		warnings = append(warnings, config.Problem{
			Message: fmt.Sprintf("the files replace what r%d by %s put in force: %s", g.revision, l.history.sourceOf(g.revision), line), Warning: true,
		})
	}
	return warnings
}

// diff returns how the source differs from what runs, with problems and warnings. It changes nothing.
func (l *reloads) diff(ctx context.Context) (*admin.Difference, error) {
	load := l.source.Load
	if p, ok := l.source.(peeker); ok {
		load = p.Peek
	}
	next, err := load(ctx)
	if err != nil {
		return nil, err
	}
	return l.difference(next, false)
}

// difference returns how a set differs from what runs, with problems and warnings.
func (l *reloads) difference(next *config.Set, allowWider bool) (*admin.Difference, error) {
	problems := Check(next, l.registry)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	g := l.current.Load()
	running := g.set.Plain()
	changes := config.Diff(running, next)
	changed := changes.Subjects()
	edited := func(rule string) bool { return changed[rule] }
	if err := contain(func() error { return policies.Taste(next.Rules, edited, compileOptions(next, l.name)) }); err != nil {
		return nil, err
	}
	e := config.Edit{Old: running, Next: next, Changes: changes, Targets: targetsOf(g.routes.Targets()), AllowWider: allowWider}
	f, err := l.preview(g, next)
	if err != nil {
		return nil, err
	}
	said := append(config.Lost(running, next).Warnings(), e.Judge()...)
	problems, _ = config.IgnoresIn(next.TextsByPath()).Of(problems, time.Now())
	return &admin.Difference{
		Revision: g.revision, Hash: g.set.Hash, Desired: next.Hash, Changes: admin.Changes(changes), Forecast: f, Problems: said.Few(), Warnings: problems.Few(),
	}, nil
}

// preview returns the forecast of a set that is not made ready to run, with the overrides in force.
func (l *reloads) preview(g *generation, next *config.Set) (f *admin.Forecast, err error) {
	err = contain(func() error {
		over, err := new(trigger).overlay(g, next, l.check)
		if err != nil {
			return err
		}
		rules, err := policies.Compile(over.set.Rules, g.routes.Targets(), nil, compileOptions(over.set, l.name))
		if err == nil {
			f = forecastOf(l.core, g, over.set, rules, config.Diff(g.set, over.set))
		}
		return err
	})
	return f, err
}

// loaded tells the watcher which content was read, since the files may have changed after it reported them.
func (l *reloads) loaded(hash string) {
	if l.watcher != nil {
		l.watcher.Loaded(hash)
	}
}

// load reads the set again, or builds it from what was just read for its hash.
func (l *reloads) load(ctx context.Context, hash string) (set *config.Set, err error) {
	err = config.Contain(func() string { return "while the files were read" }, func() error {
		if s, ok := l.source.(hashLoader); ok && hash != "" {
			set, err = s.LoadHashed(ctx, hash)
		} else {
			set, err = l.source.Load(ctx)
		}
		return err
	})
	return set, err
}

// hash returns the hash of the files. Each poll asks for it, so that a panic is logged once.
func (l *reloads) hash() (hash string, err error) {
	err = config.Contain(func() string { return "while the files were read" }, func() error {
		hash, err = l.source.Hash()
		return err
	})
	if internal, ok := errors.AsType[*config.InternalError](err); ok {
		if last := l.panicked.Swap(&internal.Value); last == nil || *last != internal.Value {
			l.logInternal(err)
		}
	}
	return hash, err
}

// recordRejected records files that could not be read or decoded, unless the same content was rejected before. What could not
// be read is read again at the next poll.
func (l *reloads) recordRejected(from trigger, err error) (Attempt, error) {
	hash := hashOf(err)
	l.loaded(hash)
	if hash == "" {
		hash, _ = l.hash()
	}
	r := l.rejected(hash, nil, from, err)
	if last := l.history.latest(); from.source == SourceFile && last.Result == ResultRejected && last.Hash == hash &&
		last.Error == r.Error && last.Problems.Error() == r.Problems.Error() {
		return last, err
	}
	l.record(&r, nil)
	return r, err
}

// hashOf returns the hash of files that cannot be decoded; empty if they could not be read.
func hashOf(err error) string {
	if e := new(load.Error); errors.As(err, &e) {
		return e.Hash
	}
	return ""
}

// unchanged returns the outcome of reading the set that runs. It is recorded if it was requested, or follows a
// rejected attempt: files and host agree again.
func (l *reloads) unchanged(set *config.Set, from trigger) Attempt {
	r := from.attempt(l.current.Load(), ResultUnchanged, time.Now())
	r.Hash, r.Rules, r.Files = set.Hash, len(set.Rules), set.Files
	if from.source != SourceFile || l.history.latest().Result == ResultRejected {
		l.record(&r, nil)
	}
	return r
}

// follow applies what changes in the files, until ctx ends.
func (l *reloads) follow(ctx context.Context) {
	if l.watcher == nil {
		<-ctx.Done()
		return
	}
	var again secondLook
	defer again.forget()
	err := l.watcher.Watch(ctx, func(hash string) {
		again.forget() // this content has replaced the one that it waits for
		from := trigger{source: SourceFile, hash: hash}
		if _, from.doubtful, _ = l.look(ctx, from); from.doubtful != "" { // look records and logs every other outcome
			again.begin(ctx, l, from)
		}
	})
	if err != nil {
		l.log.Error("file watching stopped; easymicro reload still reads the files", "error", err)
	}
}

// secondLook waits to look again, without blocking other edits.
type secondLook struct {
	end   context.CancelFunc
	waits sync.WaitGroup
}

func (s *secondLook) begin(ctx context.Context, l *reloads, from trigger) {
	waiting, end := context.WithCancel(ctx)
	s.end = end
	from.hash = "" // the second look reads the files again
	s.waits.Go(func() {
		for from.doubtful != "" && pause(waiting, l.secondLookAfter) == nil {
			_, from.doubtful, _ = l.look(ctx, from)
		}
	})
}

// forget ends the wait. A change that is being applied is finished.
func (s *secondLook) forget() {
	if s.end != nil {
		s.end()
	}
	s.waits.Wait()
}

// newReloads returns the reloads of a host, whose watcher follows the source.
func newReloads(a *applier, source Source) *reloads {
	l := &reloads{applier: a, source: source, secondLookAfter: secondLookAfter}
	if source == nil {
		return l
	}
	reported := make(map[config.Problem]bool)
	dirs := func() []string { // asked at each poll
		for _, w := range l.mounted() {
			if !reported[w] && !slices.Contains(l.current.Load().set.Warnings, w) {
				logWarning(l.log, w)
			}
			reported[w] = true
		}
		return l.source.Dirs()
	}
	l.watcher = watch.New(watch.Options{
		Dirs: dirs, Hash: l.hash, Known: l.first.DesiredHash(), Timing: l.watchTiming, Logger: l.log,
	})
	return l
}

func (l *reloads) mounted() config.Problems {
	if s, ok := l.source.(mountChecker); ok {
		return s.Mounted()
	}
	return nil
}

func (l *reloads) watchTiming() watch.Timing {
	set := l.first // as long as handlers are being opened
	if g := l.current.Load(); g != nil {
		set = g.set
	}
	w := set.Manifest.Policies.Watch
	return watch.Timing{Debounce: w.Debounce.Std(), MaxDelay: w.MaxDelay.Std(), Poll: w.Poll.Std()}
}

// watchView returns how the files are watched.
func (l *reloads) watchView() admin.Watch {
	if l.watcher == nil {
		return admin.Watch{Mode: "off", Healthy: true}
	}
	v := admin.Watch{Mode: "events", Healthy: true, Directories: l.source.Dirs(), Mounted: l.mounted()}
	if s := l.watcher.State(); s.Polling {
		v.Mode, v.Healthy, v.Error = "poll", false, s.Problem
	}
	return v
}
