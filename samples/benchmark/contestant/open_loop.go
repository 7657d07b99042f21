package contestant

import (
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/easymicro/easymicro/samples/benchmark/contract"
)

// openLoop begins calls at a steady rate, whether earlier ones have been answered or not, and returns those that were to begin
// in the duration after the warm-up. Latency is from the intended begin: a call that waits because all callers are busy, or
// because the process does not get a processor, is late, and says so.
func openLoop(calls []func() error, rate float64, warmup, duration time.Duration, measuring func(bool)) contract.Result {
	warm, measured := newWindow(), newWindow()
	due := make(chan arrival, 1<<16)
	var callers sync.WaitGroup
	for i, call := range calls {
		callers.Go(func() {
			for a := range due {
				a.in.late.record(i, time.Since(a.at), nil)
				err := call()
				a.in.latency.record(i, time.Since(a.at), err)
			}
		})
	}
	from := pace(time.Now(), rate, warmup, warm, due)
	measuring(true)
	before, begin := countSelf(), time.Now()
	pace(from, rate, duration, measured, due)
	close(due)
	callers.Wait()
	seconds, counters := time.Since(begin).Seconds(), countSelf().Minus(before)
	measuring(false)
	result := measured.latency.result()
	result.Seconds, result.Counters = seconds, &counters
	result.LateUs = new(measured.late.result().LatencyUs)
	return result
}

// arrival is a call that is to begin.
type arrival struct {
	at time.Time
	in *window
}

// window has the calls that are to begin in a time.
type window struct{ latency, late *recorder }

func newWindow() *window { return &window{newRecorder(), newRecorder()} }

// pace sends arrivals at a rate and returns when the next would be due.
func pace(from time.Time, rate float64, duration time.Duration, in *window, due chan<- arrival) time.Time {
	// Timers of the runtime are up to a millisecond late while the process is idle, more than most calls take.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	interval := float64(time.Second) / rate
	for n := 0; ; n++ {
		at := from.Add(time.Duration(float64(n) * interval))
		if at.Sub(from) >= duration {
			return at
		}
		if wait := time.Until(at); wait > 0 {
			pause := unix.NsecToTimespec(int64(wait))
			_ = unix.Nanosleep(&pause, nil) // woken early, the call begins early by less than a wake-up takes
		}
		due <- arrival{at, in}
	}
}
