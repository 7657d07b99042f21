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

// away is a watcher over files that answer when they are let to.
type away struct {
	*Watcher
	answer chan string
	told   []string
	end    context.CancelFunc
	ended  chan struct{}
}

func startAway(t *testing.T) *away {
	a := &away{answer: make(chan string), ended: make(chan struct{})}
	a.Watcher = New(Options{Dirs: func() []string { return nil }, Hash: func() (string, error) { return <-a.answer, nil }, Known: "a"})
	a.dir.open = func() (*fsnotify.Watcher, error) { return nil, errors.New("too many open files") }
	ctx, cancel := context.WithCancel(t.Context())
	a.end = cancel
	go func() {
		defer close(a.ended)
		if err := a.Watch(ctx, func(hash string) { a.told = append(a.told, hash) }); err != nil {
			t.Error(err)
		}
	}()
	a.answer <- "a" // the first look
	return a
}

func TestFilesThatDoNotAnswerAreToldAndFollowedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAway(t)
		time.Sleep(defaultPoll + patience)
		synctest.Wait()
		if s := a.State(); !s.Polling || s.Problem != "no answer from the files within 15s: is their file system unreachable?" {
			t.Errorf("%+v", s)
		}
		a.answer <- "b"
		a.answer <- "b" // unless an event told, a new content is looked at twice
		a.answer <- "b"
		synctest.Wait()
		if s := a.State(); !strings.Contains(s.Problem, "too many open files") {
			t.Errorf("they answer again: %+v", s)
		}
		if len(a.told) != 1 || a.told[0] != "b" {
			t.Errorf("told %q", a.told)
		}
		a.end()
		<-a.ended
	})
}

func TestFilesThatDoNotAnswerDoNotHoldUpTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAway(t)
		time.Sleep(defaultPoll + time.Second)
		begin := time.Now()
		a.end()
		<-a.ended
		if took := time.Since(begin); took > farewell {
			t.Errorf("it took %s", took)
		}
		a.answer <- "b"
		synctest.Wait()
		if len(a.told) != 0 {
			t.Errorf("told %q after the end", a.told)
		}
	})
}

func TestAChangeThatIsBeingMadeIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hash := "b"
		w := New(Options{Dirs: func() []string { return nil }, Hash: func() (string, error) { return hash, nil }, Known: "a"})
		w.dir.open = func() (*fsnotify.Watcher, error) { return nil, errors.New("too many open files") }
		ctx, cancel := context.WithCancel(t.Context())
		made := false
		if err := w.Watch(ctx, func(string) {
			cancel()
			time.Sleep(10 * farewell)
			made = true
		}); err != nil || !made {
			t.Errorf("%v, made %v", err, made)
		}
	})
}
