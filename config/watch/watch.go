// Package watch reports changes of the content of a set of files.
package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Options configures a Watcher. Dirs and Hash are required.
type Options struct {
	// Dirs returns the directories to watch. It is called again after each change and at each poll.
	Dirs func() []string
	// Hash returns the hash of the whole content, or an error if it cannot be read.
	Hash func() (string, error)
	// Known is the hash of the content in use. If the content differs at the start, that is a change. Empty: it is not.
	Known string
	// Timing is called before each wait. It may be nil; zero fields mean the defaults.
	Timing func() Timing
	Logger *slog.Logger // for changes of the state; nil discards
}

// Timing configures the delays of a watch.
type Timing struct {
	Debounce time.Duration // quiet time after an event; default 100 ms
	MaxDelay time.Duration // maximum delay by further events; default 1 s
	Poll     time.Duration // interval between reads without events; default 5 s
}

const (
	defaultDebounce = 100 * time.Millisecond
	defaultMaxDelay = time.Second
	defaultPoll     = 5 * time.Second
)

// State describes how changes are currently noticed.
type State struct {
	Polling bool      // events may be missing, so that only polling is reliable
	Problem string    // why; empty unless Polling
	Since   time.Time // of this state
}

// Watcher watches a set of files.
type Watcher struct {
	o   Options
	dir *dirs

	mu    sync.Mutex
	state State
	known string // hash of the content last loaded, or reported; empty: report whatever is there

	touching atomic.Bool // accessing files, which may hang

	candidate string    // hash to confirm by a second read
	unsure    bool      // the change came without an event: read it twice
	burst     time.Time // first unhandled event; zero if none
	quiet     *time.Timer
}

// New returns a watcher. It opens nothing before Watch.
func New(o Options) *Watcher {
	if o.Timing == nil {
		o.Timing = func() Timing { return Timing{} }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Watcher{o: o, dir: newDirs(), known: o.Known}
}

// State returns how changes are currently noticed. It may be called concurrently with Watch.
func (w *Watcher) State() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// Watch calls changed once for each settled content, until ctx ends; then it returns nil. The hash is empty if the
// content cannot be read; reading it again returns the error. Calls of changed do not overlap, and may report a
// content that was already applied by other means. Watch may be called once.
//
// Watch does not wait for files that hang when ctx ends.
func (w *Watcher) Watch(ctx context.Context, changed func(hash string)) error {
	if w.o.Dirs == nil || w.o.Hash == nil {
		return errors.New("watch: nothing to watch")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.watch(ctx, changed)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	for {
		select {
		case <-done:
			return nil
		case <-time.After(lastReadWait):
			if w.touching.Load() {
				return nil
			}
		}
	}
}

// Loaded sets the hash of the content that was last loaded, which may have changed since it was reported: without Loaded, a
// change back would go unnoticed. If hash is empty, the content could not be read, and the next poll calls changed again.
// Loaded may be called from changed and concurrently with Watch.
func (w *Watcher) Loaded(hash string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known = hash
}

// isNew reports whether hash is not the hash of the content last loaded.
func (w *Watcher) isNew(hash string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return hash != w.known
}

// lastReadWait is how long Watch waits for a read after ctx has ended.
const lastReadWait = time.Second

func (w *Watcher) watch(ctx context.Context, changed func(hash string)) {
	defer w.dir.close()
	w.quiet = time.NewTimer(time.Hour)
	defer w.quiet.Stop()
	w.quiet.Stop()

	w.dir.reopen()
	w.watchDirs()
	if w.o.Known == "" {
		w.Loaded(w.hash())
	} else {
		w.poll()
	}
	poll := time.NewTimer(w.timing().Poll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-w.dir.events():
			if !open {
				w.lose(errClosed)
			}
			w.unsure = false
			w.arm()
		case err, open := <-w.dir.errors():
			if !open {
				err = errClosed
			}
			w.lose(err)
			w.arm()
		case <-w.quiet.C:
			w.reportIfNew(ctx, changed)
		case <-poll.C: // a lost watcher is replaced here and not at once, since it could fail again at once
			w.dir.reopen()
			w.watchDirs()
			w.poll()
			poll.Reset(w.timing().Poll)
		}
	}
}

var errClosed = errors.New("the watcher was closed")

func (w *Watcher) lose(err error) {
	w.dir.lose(err)
	w.updateState()
}

// arm starts or restarts the quiet time.
func (w *Watcher) arm() {
	t, now := w.timing(), time.Now()
	if w.burst.IsZero() {
		w.burst = now
	}
	w.quiet.Reset(max(0, min(t.Debounce, w.burst.Add(t.MaxDelay).Sub(now))))
}

// poll arms if the content changed without an event.
func (w *Watcher) poll() {
	if !w.burst.IsZero() {
		return
	}
	hash := w.hash()
	if !w.isNew(hash) {
		return
	}
	w.unsure, w.candidate = true, hash
	w.arm()
}

// reportIfNew reports the content after a quiet time if it is new.
func (w *Watcher) reportIfNew(ctx context.Context, changed func(hash string)) {
	w.watchDirs()
	hash := w.hash()
	isNew, overdue := w.isNew(hash), time.Since(w.burst) >= w.timing().MaxDelay
	if isNew && !overdue && hash != w.candidate && (w.unsure || unreadable(hash)) {
		// A file that changed without events may still be written, and an unreadable one may be about to be renamed into place.
		w.candidate = hash
		w.arm()
		return
	}
	w.burst, w.candidate, w.unsure = time.Time{}, "", false
	if !isNew || ctx.Err() != nil {
		return
	}
	w.Loaded(hash)
	if unreadable(hash) {
		hash = ""
	}
	changed(hash)
	if w.watchDirs() { // what happened in a directory before it was watched
		w.arm()
	}
}

// unreadableMark begins the pseudo-hash of unreadable content. No hash begins with it.
const unreadableMark = "\x00"

func unreadable(hash string) bool { return hash != "" && hash[:1] == unreadableMark }

// hash returns the hash of the content, or a text that begins with unreadableMark and differs by error.
func (w *Watcher) hash() string {
	back := w.touch()
	defer back()
	hash, err := w.o.Hash()
	if err != nil {
		return unreadableMark + err.Error()
	}
	return hash
}

// watchDirs watches the current directories and reports whether events may have been missed there.
func (w *Watcher) watchDirs() bool {
	back := w.touch()
	changed := w.dir.follow(w.o.Dirs())
	back()
	w.updateState()
	return changed
}

// hangReportedAfter is the time after which the state reports a file access that has not returned.
const hangReportedAfter = 15 * time.Second

// touch marks the start of a file access, and the function it returns the end. In between the state reports files
// that hang.
func (w *Watcher) touch() (back func()) {
	w.touching.Store(true)
	reported := make(chan struct{})
	timer := time.AfterFunc(hangReportedAfter, func() {
		defer close(reported)
		w.setProblem(fmt.Sprintf("no answer from the files within %s: is their file system unreachable?", hangReportedAfter))
	})
	return func() {
		w.touching.Store(false)
		if !timer.Stop() {
			<-reported
			w.updateState()
		}
	}
}

// updateState sets the problem that the directories have.
func (w *Watcher) updateState() { w.setProblem(w.dir.problem()) }

// setProblem changes the state, and logs that it has changed. An empty problem is none.
func (w *Watcher) setProblem(problem string) {
	w.mu.Lock()
	changed := w.state.Since.IsZero() || w.state.Problem != problem
	before := w.state
	if changed {
		w.state = State{Polling: problem != "", Problem: problem, Since: time.Now()}
	}
	w.mu.Unlock()
	switch {
	case !changed:
	case problem != "":
		w.o.Logger.Warn("files are only polled", "problem", problem, "poll", w.timing().Poll)
	case before.Polling:
		w.o.Logger.Info("files are watched again")
	}
}

func (w *Watcher) timing() Timing {
	t := w.o.Timing()
	if t.Debounce <= 0 {
		t.Debounce = defaultDebounce
	}
	if t.MaxDelay <= 0 {
		t.MaxDelay = defaultMaxDelay
	}
	if t.Poll <= 0 {
		t.Poll = defaultPoll
	}
	return t
}
