package wire_test

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

type deadlineKey struct{}

func TestADeadlineIsAContext(t *testing.T) {
	for _, test := range []struct {
		name          string
		waited        bool
		parent, at    time.Duration // 0: never, for the parent
		cancel, ended time.Duration
		want          error
	}{
		{"its time", false, 0, time.Second, time.Hour, time.Second, context.DeadlineExceeded},
		{"its time, after Done", true, 0, time.Second, time.Hour, time.Second, context.DeadlineExceeded},
		{"the parent's", false, time.Second, time.Minute, time.Hour, time.Second, context.DeadlineExceeded},
		{"the parent's, after Done", true, time.Second, time.Minute, time.Hour, time.Second, context.DeadlineExceeded},
		{"cancelled", false, 0, time.Minute, time.Second, time.Second, context.Canceled},
		{"cancelled, after Done", true, 0, time.Minute, time.Second, time.Second, context.Canceled},
	} {
		synctest.Test(t, func(t *testing.T) {
			parent, cancel := context.WithCancel(context.WithValue(t.Context(), deadlineKey{}, "v"))
			time.AfterFunc(test.cancel, cancel)
			begin := time.Now()
			if test.parent > 0 {
				outer := wire.WithDeadline(parent, begin.Add(test.parent))
				defer outer.Release()
				parent = outer
			}
			d := wire.WithDeadline(parent, begin.Add(test.at))
			defer d.Release()
			if test.waited {
				d.Done()
			}
			if at, ok := d.Deadline(); !ok || at.Sub(begin) != min(test.at, cmp.Or(test.parent, time.Hour)) {
				t.Errorf("%s: the deadline is in %v", test.name, at.Sub(begin))
			}
			time.Sleep(test.ended - 1)
			synctest.Wait()
			if err := d.Err(); err != nil || d.Value(deadlineKey{}) != "v" {
				t.Errorf("%s: %v too early", test.name, err)
			}
			if n := runtime.NumGoroutine(); test.waited {
				_, stop := context.WithCancel(d)
				if now := runtime.NumGoroutine(); now != n {
					t.Errorf("%s: a derived context takes %d goroutines", test.name, now-n)
				}
				stop()
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if err := d.Err(); !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", test.name, err, test.want)
			}
			derived, stop := context.WithCancel(d)
			defer stop()
			<-derived.Done()
			if err := derived.Err(); !errors.Is(err, test.want) || !errors.Is(d.Err(), test.want) || time.Since(begin) != test.ended {
				t.Errorf("%s: %v after %v, want %v after %v", test.name, err, time.Since(begin), test.want, test.ended)
			}
			cancel()
		})
	}
}

// The deadlines of calls that wait together come in any order.
func TestCallsEndAtTheirDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := facing(t, wire.ConnOptions{KeepaliveInterval: time.Hour})
		begin := time.Now()
		ends := map[string]<-chan error{}
		after := map[string]time.Duration{"a": 5 * time.Second, "b": time.Second, "c": 3 * time.Second, "d": time.Second + 1, "e": 700 * time.Microsecond}
		for method, d := range after {
			within := wire.WithDeadline(t.Context(), begin.Add(d))
			defer within.Release()
			ends[method] = calling(within, c, method, "")
		}
		answered := calling(wire.WithDeadline(t.Context(), begin.Add(2*time.Second)), c, "f", "")
		forever := calling(t.Context(), c, "g", "")
		for range len(after) + 2 {
			if req := p.Receive(); req.Method == "f" {
				time.AfterFunc(1500*time.Millisecond, func() { answer(p, req, "for f") })
			}
		}
		if err := <-answered; err != nil || time.Since(begin) != 1500*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		for _, method := range []string{"c", "a"} {
			e := <-ends[method]
			wantError(t, e, code.DeadlineExceeded, code.ReasonTimeout)
			if took := time.Since(begin); took != after[method] || e.Error() != "no answer in time: context deadline exceeded" {
				t.Errorf("%s: %v after %v, want %v", method, e, took, after[method])
			}
		}
		for _, method := range []string{"b", "d", "e"} {
			wantError(t, <-ends[method], code.DeadlineExceeded, code.ReasonTimeout)
		}
		last := wire.WithDeadline(t.Context(), time.Now().Add(time.Hour))
		lost := calling(last, c, "h", "")
		p.Receive()
		_ = c.Close() // does not wait for the timer
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("closed after %v", took)
		}
		for _, call := range []<-chan error{lost, forever} {
			wantError(t, <-call, code.Unavailable, code.ReasonConnectionLost)
		}
	})
}

func TestACallWithADeadlineIsCancelledWithItsParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, alone := range []bool{true, false} {
			c, p := facing(t, wire.ConnOptions{})
			if !alone {
				defer calling(t.Context(), c, "Other", "")
				p.Receive()
			}
			parent, cancel := context.WithCancel(t.Context())
			d := wire.WithDeadline(parent, time.Now().Add(time.Second))
			done := calling(d, c, "Slow", "")
			p.Receive()
			time.Sleep(10 * time.Millisecond)
			begin := time.Now()
			cancel()
			wantError(t, <-done, code.Cancelled, code.ReasonCancelled)
			if took := time.Since(begin); took > 0 {
				t.Errorf("alone %v: after %v", alone, took)
			}
			d.Release()
			_ = c.Close()
		}
	})
}
