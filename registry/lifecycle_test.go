package registry

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestCloseRunsOnceTheLastAddedFirst(t *testing.T) {
	var ran []string
	s := Receiver(api{}).
		OnClose(func() error { ran = append(ran, "first"); return errNoPaper }).
		OnClose(func() error { panic("second") }).
		And(Unary("X", func(context.Context, *pair) (*sum, error) { return nil, nil }).
			OnClose(func() error { ran = append(ran, "third"); return nil }))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			err := s.Close(t.Context())
			if !errors.Is(err, errNoPaper) || !strings.Contains(err.Error(), "panic: second") {
				t.Errorf("%v, want both errors, each time", err)
			}
		})
	}
	wg.Wait()
	if !slices.Equal(ran, []string{"third", "first"}) {
		t.Errorf("ran %v", ran)
	}
	if err := Receiver(api{}).Close(t.Context()); err != nil {
		t.Errorf("nothing to close: %v", err)
	}
}

func TestAHangingCloseEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := false
		s := Receiver(api{}).OnClose(func() error { time.Sleep(time.Minute); done = true; return nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := s.Close(t.Context()); err != nil || !done {
			t.Errorf("%v, done %v: the second Close waits for the first", err, done)
		}
	})
}

func TestReadyIsWhenAllAreReady(t *testing.T) {
	hanging := make(chan struct{})
	defer close(hanging)
	fine := func(context.Context) error { return nil }
	tests := []struct {
		name  string
		probe func(context.Context) error
		want  string
	}{
		{"ready", fine, ""},
		{"not ready", func(context.Context) error { return errNoPaper }, "out of paper"},
		{"panic", func(context.Context) error { panic("no ink") }, "panic: no ink"},
		{"goexit", func(context.Context) error { runtime.Goexit(); return nil }, "runtime.Goexit called"},
		{"hanging", func(context.Context) error { <-hanging; return nil }, "context deadline exceeded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			err := Receiver(api{}).OnReady(fine).OnReady(tt.probe).Ready(ctx)
			if got := textOf(err); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

type hook func(context.Context, limits) error

func TestChangedOptionsReachARunningInstance(t *testing.T) {
	var got []limits
	take := func(_ context.Context, o limits) error {
		got = append(got, o)
		switch o.Max {
		case 13:
			return errNoPaper
		case 14:
			panic("no ink")
		}
		return nil
	}
	for _, fn := range []any{take, hook(take)} {
		got = nil
		s, err := entry(func(context.Context, limits, Env) (*Service, error) { return Receiver(api{}).OnOptions(fn), nil }).
			Open(t.Context(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for maximum, want := range map[int]string{
			9:  "",
			13: "orders: reconfigure: out of paper",
			14: "orders: reconfigure: panic: no ink at lifecycle_test.go:LINE",
		} {
			handled, err := s.Reconfigure(t.Context(), func(into any) error { into.(*limits).Max = maximum; return nil })
			if !handled || line.ReplaceAllString(textOf(err), ":LINE") != want {
				t.Errorf("%d: %v, %v, want %q", maximum, handled, err, want)
			}
		}
		handled, err := s.Reconfigure(t.Context(), func(any) error { return errNoPaper })
		if !handled || textOf(err) != "orders: options: out of paper" || !errors.Is(err, errNoPaper) {
			t.Errorf("undecodable: %v, %v", handled, err)
		}
		if _, err := s.Reconfigure(t.Context(), nil); err != nil || got[len(got)-1].Max != 7 || len(got) != 4 {
			t.Errorf("back to the defaults: %v, %+v", err, got)
		}
	}
}

func TestWithoutOnOptionsAnInstanceMustBeReplaced(t *testing.T) {
	s, err := entry(openAdder).Open(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if handled, err := s.Reconfigure(t.Context(), nil); handled || err != nil {
		t.Errorf("%v, %v", handled, err)
	}
	twice := Receiver(api{}).OnOptions(func(context.Context, limits) error { return nil })
	twice.And(Receiver(less{}).OnOptions(func(context.Context, limits) error { return nil }))
	if textOf(twice.err) != "OnOptions is set twice" {
		t.Error(twice.err)
	}
}
