package wire_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

func TestAServedCallIsAnsweredOnce(t *testing.T) {
	for _, test := range []struct {
		name          string
		parent, limit time.Duration // until the parent ends, and the deadline
		takes         time.Duration
		want          string
		err           error
		after         time.Duration
	}{
		{"returns", time.Minute, time.Minute, 10 * time.Millisecond, "by the caller", context.Canceled, 10 * time.Millisecond},
		{"returns at once", time.Minute, time.Minute, 0, "by the caller", context.Canceled, 0},
		{"is late", time.Minute, time.Second, time.Hour, "DEADLINE_EXCEEDED: late", context.DeadlineExceeded, time.Second},
		{"is late at once", time.Minute, -1, time.Hour, "DEADLINE_EXCEEDED: late", context.DeadlineExceeded, 0},
		{"is late within a tick", time.Minute, time.Microsecond, time.Hour, "DEADLINE_EXCEEDED: late", context.DeadlineExceeded, time.Microsecond},
		{"is abandoned", time.Second, time.Minute, time.Hour, "nothing", context.Canceled, time.Second},
	} {
		for _, stopped := range []bool{false, true} { // in the middle of the call
			t.Run(test.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := new(wire.Watch)
					stop := w.Start()
					served := new(wire.ServedCall)
					for range 3 { // it can be used again
						parent, cancel := context.WithCancel(t.Context())
						answers := make(chan string, 3)
						answer := answerFunc(func(e *code.Error) {
							if e == nil {
								e = &code.Error{Message: "nothing"}
							}
							answers <- e.Message
						})
						begin := time.Now()
						time.AfterFunc(test.parent, cancel)
						c := served.Begin(parent, &wire.CallOptions{}, w, answer)
						kept := c.Keep(nil)
						ended := make(chan time.Duration, 1)
						context.AfterFunc(kept, func() { ended <- time.Since(begin) })
						c.ExpireAt(begin.Add(test.limit), wire.ExpirerFunc(late))
						if stopped && test.takes > 0 {
							time.Sleep(time.Microsecond / 2)
							stop()
						}
						time.Sleep(test.takes - time.Since(begin))
						if served.Finish() {
							answers <- "by the caller"
						}
						if stopped && test.takes > 0 {
							stop = w.Start()
						}
						if got := <-answers; got != test.want || len(answers) > 0 {
							t.Errorf("answered %q, and %d times more", got, len(answers))
						}
						if err := kept.Err(); !errors.Is(err, test.err) || wire.CallFrom(kept) != nil {
							t.Errorf("the context that was kept: %v, %v", err, wire.CallFrom(kept))
						}
						if took := <-ended; took < test.after || took > test.after+3*time.Millisecond {
							t.Errorf("the context ended after %s", took)
						}
						cancel()
					}
					stop()
				})
			})
		}
	}
}

func TestAServedCallOfOthersEndsWithItsParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(wire.Watch)
		defer w.Start()()
		parent, cancel := context.WithCancel(t.Context())
		served := new(wire.ServedCall)
		c := served.Begin(parent, &wire.CallOptions{}, w, nil)
		time.AfterFunc(time.Second, cancel)
		<-c.Done()
		if !errors.Is(c.Err(), context.Canceled) || !served.Finish() {
			t.Errorf("it ended with %v, and its caller need not answer", c.Err())
		}
	})
}

func TestTheWatchReportsAServedCallThatLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(wire.Watch)
		defer w.Start()()
		served := new(wire.ServedCall)
		for takes, want := range map[time.Duration]int{0: 0, time.Millisecond / 2: 0, time.Second: 1} {
			outlasted := 0
			served.Outlasts = func() { outlasted++ }
			served.Begin(t.Context(), &wire.CallOptions{}, w, nil)
			time.Sleep(takes)
			if served.Finish(); outlasted != want {
				t.Errorf("a call of %s is reported %d times, want %d", takes, outlasted, want)
			}
		}
	})
}
