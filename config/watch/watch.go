// Package watch tells when the content of a set of files changed.
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

// Options say what is watched. Dirs and Hash are required.
type Options struct {
	// Dirs are the directories whose entries matter. It is asked again after each change and at each poll.
	Dirs func() []string
	// Hash is the hash of the whole content. What it cannot read is an error.
	Hash func() (string, error)
	// Known is the hash of the content that is in use already. A content that differs from it at the start is a change.
	// Empty: the content at the start is no change.
	Known string
	// Timing is asked before each wait, so that it may change. May be nil; zero fields mean the defaults.
	Timing func() Timing
	Logger *slog.Logger // for changes of the state; nil discards them
}

// Timing says how patient a watch is.
type Timing struct {
	Debounce time.Duration // of quiet behind an event, before the content is read; default 100 ms
	MaxDelay time.Duration // to read it although there is no quiet; default 1 s
	Poll     time.Duration // between two looks at the content, whatever the events say; default 5 s
}

const (
	defaultDebounce = 100 * time.Millisecond
	defaultMaxDelay = time.Second
	defaultPoll     = 5 * time.Second
)

// State is how changes are noticed at the moment.
type State struct {
	Polling bool      // events are missing or may be, so only the poll is to be relied on
	Problem string    // why; empty unless Polling
	Since   time.Time // of this state
}

// Watcher watches a set of files.
type Watcher struct {
	o   Options
	dir *dirs

	mu    sync.Mutex
	state State

	touching atomic.Bool // files, which may not answer
	retry    atomic.Bool // the content told last was not read

	known     string    // the content told last
	candidate string    // a content that was seen once and is to be seen again
	unsure    bool      // no event told of the content: see it twice
	burst     time.Time // the first event of those that were not looked at yet; zero when there are none
	quiet     *time.Timer
}

// New makes a watcher. It opens nothing before Watch.
func New(o Options) *Watcher {
	if o.Timing == nil {
		o.Timing = func() Timing { return Timing{} }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Watcher{o: o, dir: newDirs()}
}

// State is how changes are noticed at the moment. It is safe for concurrent use with Watch.
func (w *Watcher) State() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// Watch calls changed once for each content that settled, until ctx ends; then it returns nil. The hash is empty when
// the content cannot be read: reading it again returns the error. changed is never called twice at a time, and may be told
// of a content that has already been applied by other means. Watch may be called once.
//
// Files that do not answer when ctx ends are not waited for: what holds them up is left alone.
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
		case <-time.After(farewell):
			if w.touching.Load() {
				return nil
			}
		}
	}
}

// Retry has the next poll call changed for the content that is there then, even if it was called for that before. It is
// for a change that could not be read. It may be called from changed.
func (w *Watcher) Retry() { w.retry.Store(true) }

// farewell is how long a look at the files may go on when nobody wants to know any more.
const farewell = time.Second

func (w *Watcher) watch(ctx context.Context, changed func(hash string)) {
	defer w.dir.close()
	w.quiet = time.NewTimer(time.Hour)
	defer w.quiet.Stop()
	w.quiet.Stop()

	w.dir.reopen()
	w.follow()
	w.known = w.o.Known
	if content := w.content(); w.known == "" {
		w.known = content
	} else if content != w.known {
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
			w.look(ctx, changed)
		case <-poll.C: // also the time to get over a lost watcher: not sooner, since it could be lost again at once
			w.dir.reopen()
			w.follow()
			w.poll()
			poll.Reset(w.timing().Poll)
		}
	}
}

var errClosed = errors.New("the watcher was closed")

func (w *Watcher) lose(err error) {
	w.dir.lose(err)
	w.show()
}

// arm starts the quiet time, or starts it again.
func (w *Watcher) arm() {
	t, now := w.timing(), time.Now()
	if w.burst.IsZero() {
		w.burst = now
	}
	w.quiet.Reset(max(0, min(t.Debounce, w.burst.Add(t.MaxDelay).Sub(now))))
}

// poll arms when the content is not the known one although no event said so.
func (w *Watcher) poll() {
	if !w.burst.IsZero() {
		return
	}
	content := w.content()
	if content == w.known && !w.retry.Load() {
		return
	}
	w.unsure, w.candidate = true, content
	w.arm()
}

// look tells of the content behind a quiet time, if it is a new one.
func (w *Watcher) look(ctx context.Context, changed func(hash string)) {
	w.follow()
	content := w.content()
	overdue := time.Since(w.burst) >= w.timing().MaxDelay
	if content != w.known && !overdue && content != w.candidate && (w.unsure || unreadable(content)) {
		// Nobody tells when a content that came without events is whole, and one that cannot be read may be about to be
		// renamed into its place.
		w.candidate = content
		w.arm()
		return
	}
	w.burst, w.candidate, w.unsure = time.Time{}, "", false
	if again := w.retry.Swap(false); content == w.known && !again || ctx.Err() != nil {
		return
	}
	w.known = content
	if unreadable(content) {
		content = ""
	}
	changed(content)
	if w.follow() { // what happened in a directory before it was watched
		w.arm()
	}
}

// unreadableMark stands in front of the error of a content that cannot be read. No hash begins with it.
const unreadableMark = "\x00"

func unreadable(content string) bool { return content != "" && content[:1] == unreadableMark }

func (w *Watcher) content() string {
	back := w.touch()
	defer back()
	hash, err := w.o.Hash()
	if err != nil {
		return unreadableMark + err.Error()
	}
	return hash
}

// follow watches the directories of now, and reports whether something may have happened there that no event tells.
func (w *Watcher) follow() bool {
	back := w.touch()
	changed := w.dir.follow(w.o.Dirs())
	back()
	w.show()
	return changed
}

// patience is how long a look at the files may take before it is told that they do not answer.
const patience = 15 * time.Second

// touch is called before files are touched, and what it returns afterwards. Between the two the state tells when they do
// not answer.
func (w *Watcher) touch() (back func()) {
	w.touching.Store(true)
	told := make(chan struct{})
	timer := time.AfterFunc(patience, func() {
		defer close(told)
		w.tell(fmt.Sprintf("no answer from the files within %s: is their file system unreachable?", patience))
	})
	return func() {
		w.touching.Store(false)
		if !timer.Stop() {
			<-told
			w.show()
		}
	}
}

// show makes the state visible.
func (w *Watcher) show() { w.tell(w.dir.problem()) }

func (w *Watcher) tell(problem string) {
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
