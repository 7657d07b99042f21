package host

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestWritesOfADiskThatHangsAreDoneInOrderOnceItAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStateWriter("state", slog.New(slog.DiscardHandler), true)
		var order []int
		hangs := make(chan struct{})
		failure := errors.New("no space")
		began := time.Now()
		writes := func(n int, before func(), err error) error {
			return w.do(func() error {
				before()
				order = append(order, n)
				return err
			})
		}
		none := func() {}
		for n, want := range []error{nil, failure} {
			if err := writes(n, none, want); !errors.Is(err, want) || time.Since(began) > 0 {
				t.Errorf("%v after %s, want %v at once", err, time.Since(began), want)
			}
		}
		if err := writes(2, func() { <-hangs }, nil); !errors.Is(err, errUnanswered) || time.Since(began) != stateWait {
			t.Errorf("%v after %s, want an error after %s", err, time.Since(began), stateWait)
		}
		for n := 3; n < 3+maxUnwritten; n++ {
			if err := writes(n, none, nil); !errors.Is(err, errUnanswered) {
				t.Fatal(err)
			}
		}
		if err := writes(-1, none, nil); !errors.Is(err, errDropped) || time.Since(began) != stateWait {
			t.Errorf("%v after %s, want nobody to wait for a disk that is known to hang", err, time.Since(began))
		}
		if p := w.warning(); p == nil {
			t.Error("no warning")
		}
		close(hangs)
		synctest.Wait()
		if p := w.warning(); p != nil {
			t.Errorf("still a warning: %s", p.Message)
		}
		if err := writes(3+maxUnwritten, none, nil); err != nil {
			t.Error(err)
		}
		if !slices.IsSorted(order) || len(order) != 4+maxUnwritten {
			t.Errorf("%d writes, in order: %t", len(order), slices.IsSorted(order))
		}
		if !w.close() {
			t.Error("it does not end")
		}
	})
}

func TestAWriterThatHangsDoesNotKeepTheHostFromEnding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStateWriter("state", slog.New(slog.DiscardHandler), true)
		hangs := make(chan struct{})
		go func() {
			_ = w.do(func() error {
				<-hangs
				return nil
			})
		}()
		synctest.Wait()
		if w.close() {
			t.Error("it has ended")
		}
		close(hangs)
	})
}
