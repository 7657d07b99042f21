package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

const (
	connections = 32
	inTime      = 500 * time.Millisecond // the callers wait no longer
)

// outcome is what callers saw of the calls that began in a time. Latencies are from the moment at which a call was to begin.
type outcome struct {
	Rate      float64 `json:"rate"`   // of calls, in a second
	Goodput   float64 `json:"served"` // likewise
	Refused   float64 `json:"refused"`
	Lost      float64 `json:"lost"` // answered with another error, or not in time
	ServedP50 float64 `json:"served_p50_ms"`
	ServedP99 float64 `json:"served_p99_ms"`
	RefuseP50 float64 `json:"refused_p50_ms"`
	RefuseP99 float64 `json:"refused_p99_ms"`
	BeginP99  float64 `json:"begin_p99_ms"` // how late calls began: the client's share of it
	FirstLost string  `json:"first_lost,omitempty"`
}

// callMethod calls a method, and prints the outcome.
func callMethod(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet(loadMode, flag.ContinueOnError)
	address, method := flags.String("address", "", ""), flags.String("method", "", "")
	rate := flags.Float64("rate", 0, "0: each caller calls again as soon as it has its answer")
	callers := flags.Int("callers", 0, "")
	warmup, duration := flags.Duration("warmup", 0, ""), flags.Duration("duration", 0, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := confine(1); err != nil {
		return err
	}
	l := loader{method: *method, begin: time.Now().Add(*warmup), end: time.Now().Add(*warmup + *duration)}
	for i := range l.histograms {
		l.histograms[i] = hdrhistogram.New(1, int64(time.Minute/time.Microsecond), 3)
	}
	defer func() {
		for _, c := range l.conns {
			_ = c.Close()
		}
	}()
	for range connections {
		c, err := wire.Dial(ctx, "tcp", *address, wire.ConnOptions{})
		if err != nil {
			return err
		}
		l.conns = append(l.conns, c)
	}
	if *rate > 0 {
		l.open(ctx, *rate)
	} else {
		l.closed(ctx, *callers)
	}
	return json.NewEncoder(out).Encode(l.outcome(*rate, *duration))
}

// loader makes calls and counts those that were to begin from begin to end.
type loader struct {
	method     string
	conns      []*wire.Conn
	begin, end time.Time
	calls      sync.WaitGroup

	mu         sync.Mutex
	histograms [4]*hdrhistogram.Histogram // microseconds, by fate
	firstLost  error
}

// The fates of a call. All calls are begun.
const (
	served = iota
	refused
	lost
	begun
)

// open begins calls at a steady rate, whether earlier ones have been answered or not.
func (l *loader) open(ctx context.Context, rate float64) {
	// Timers of the runtime are up to a millisecond late while the process is idle.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	from := time.Now()
	for n := 0; ; n++ {
		at := from.Add(time.Duration(float64(n) / rate * float64(time.Second)))
		if !at.Before(l.end) || ctx.Err() != nil {
			l.calls.Wait()
			return
		}
		if wait := time.Until(at); wait > 0 {
			pause := unix.NsecToTimespec(int64(wait))
			_ = unix.Nanosleep(&pause, nil)
		}
		l.calls.Go(func() { l.call(ctx, n, at) })
	}
}

// closed has callers call again and again.
func (l *loader) closed(ctx context.Context, callers int) {
	for i := range callers {
		l.calls.Go(func() {
			for at := time.Now(); at.Before(l.end) && ctx.Err() == nil; at = time.Now() {
				l.call(ctx, i, at)
			}
		})
	}
	l.calls.Wait()
}

func (l *loader) call(ctx context.Context, n int, at time.Time) {
	late := time.Since(at)
	ctx, cancel := context.WithDeadline(ctx, at.Add(inTime))
	defer cancel()
	req := wire.Frame{Service: "Shop", Method: l.method, Codec: wire.JSON, Payload: []byte(`{}`)}
	err := l.conns[n%len(l.conns)].Do(ctx, &req, new(wire.Frame))
	took := time.Since(at)
	if at.Before(l.begin) {
		return
	}
	fate, e := lost, new(code.Error)
	switch {
	case err == nil && took <= inTime:
		fate = served
	case errors.As(err, &e) && e.Reason == code.ReasonOverloaded:
		fate = refused
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.histograms[fate].RecordValue(took.Microseconds())
	_ = l.histograms[begun].RecordValue(late.Microseconds())
	if fate == lost && l.firstLost == nil {
		l.firstLost = err
	}
}

func (l *loader) outcome(rate float64, over time.Duration) outcome {
	each := func(fate int) float64 { return float64(l.histograms[fate].TotalCount()) / over.Seconds() }
	at := func(fate int, percent float64) float64 {
		return float64(l.histograms[fate].ValueAtPercentile(percent)) / 1000
	}
	o := outcome{
		Rate: rate, Goodput: each(served), Refused: each(refused), Lost: each(lost), ServedP50: at(served, 50), ServedP99: at(served, 99),
		RefuseP50: at(refused, 50), RefuseP99: at(refused, 99), BeginP99: at(begun, 99),
	}
	if l.firstLost != nil {
		o.FirstLost = l.firstLost.Error()
	}
	return o
}
