package contestant

import (
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/samples/benchmark/contract"
)

// coolDown is how long callers go on when what is measured is over, so that the server is asked for its counters under load.
const coolDown = 20 * time.Millisecond

// patience is how much longer the first answer may take.
const patience = 10 * time.Second

// closedLoop lets callers call one call after the other, and returns what ended in the duration after the warm-up.
func closedLoop(calls []func() error, warmup, duration time.Duration, measuring func(bool)) contract.Result {
	var current atomic.Pointer[recorder] // nil when it is over
	warm, measured, after := newRecorder(), newRecorder(), newRecorder()
	current.Store(warm)
	for i, call := range calls {
		go func() { // ends after a call, or with the process if the call hangs
			for begin := time.Now(); ; {
				err := call()
				end := time.Now()
				r := current.Load()
				if r == nil {
					return
				}
				r.record(i, end.Sub(begin), err)
				begin = end
			}
		}()
	}
	time.Sleep(warmup)
	measuring(true)
	before, begin := countSelf(), time.Now()
	current.Store(measured)
	time.Sleep(duration)
	for measured.empty() && time.Since(begin) < duration+patience { // a busy machine: the figure is low, and right
		time.Sleep(coolDown)
	}
	current.Store(after)
	seconds, counters := time.Since(begin).Seconds(), countSelf().Minus(before)
	measuring(false)
	time.Sleep(coolDown)
	current.Store(nil)
	result := measured.result()
	result.Seconds, result.Counters = seconds, &counters
	if early := warm.result(); early.Errors > 0 {
		result.Errors += early.Errors
		result.FirstErr = early.FirstErr
	}
	return result
}
