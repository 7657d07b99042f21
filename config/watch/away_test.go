package watch

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

// away is a watcher over files that can be read only when the test allows it.
type away struct {
	*Watcher
	answer   chan string
	reported []string
	end      context.CancelFunc
	ended    chan struct{}
}

func startAway(t *testing.T) *away {
	a := &away{answer: make(chan string), ended: make(chan struct{})}
	a.Watcher = New(Options{Dirs: func() []string { return nil }, Hash: func() (string, error) { return <-a.answer, nil }, Known: "a"})
	a.dir.open = func() (*fsnotify.Watcher, error) { return nil, errors.New("too many open files") }
	ctx, cancel := context.WithCancel(t.Context())
	a.end = cancel
	go func() {
		defer close(a.ended)
		if err := a.Watch(ctx, func(hash string) { a.reported = append(a.reported, hash) }); err != nil {
			t.Error(err)
		}
	}()
	a.answer <- "a" // the first reading
	return a
}

func TestFilesThatDoNotAnswerAreReportedAndRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAway(t)
		time.Sleep(defaultPoll + hangReportedAfter)
		synctest.Wait()
		if s := a.State(); !s.Polling || s.Problem != "no answer from the files within 15s: is their file system unreachable?" {
			t.Errorf("%+v", s)
		}
		a.answer <- "b"
		a.answer <- "b" // without an event, a new content is read twice
		a.answer <- "b"
		synctest.Wait()
		if s := a.State(); !strings.Contains(s.Problem, "too many open files") {
			t.Errorf("after the answer: %+v", s)
		}
		if len(a.reported) != 1 || a.reported[0] != "b" {
			t.Errorf("reported %q", a.reported)
		}
		a.end()
		<-a.ended
	})
}

func TestFilesThatDoNotAnswerDoNotDelayTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAway(t)
		time.Sleep(defaultPoll + time.Second)
		begin := time.Now()
		a.end()
		<-a.ended
		if took := time.Since(begin); took > lastReadWait {
			t.Errorf("it took %s", took)
		}
		a.answer <- "b"
		synctest.Wait()
		if len(a.reported) != 0 {
			t.Errorf("reported %q after the end", a.reported)
		}
	})
}

func TestWatchWaitsForARunningChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hash := "b"
		w := New(Options{Dirs: func() []string { return nil }, Hash: func() (string, error) { return hash, nil }, Known: "a"})
		w.dir.open = func() (*fsnotify.Watcher, error) { return nil, errors.New("too many open files") }
		ctx, cancel := context.WithCancel(t.Context())
		made := false
		if err := w.Watch(ctx, func(string) {
			cancel()
			time.Sleep(10 * lastReadWait)
			made = true
		}); err != nil || !made {
			t.Errorf("%v, made %v", err, made)
		}
	})
}
