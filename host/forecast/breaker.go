package forecast

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/easymicro/easymicro/config"
)

// breaker is a circuit breaker that sees calls that come and fail at random, with the rates of their span.
type breaker struct {
	*config.CircuitBreaker
	random *rand.Rand

	openFor  float64 // seconds
	probing  bool
	probes   float64
	window   [windowParts]outcomes
	part     int     // of the window, that counts now
	partFor  float64 // seconds that it counts already
	inARow   float64
	failures float64 // ratio of the last calls that were seen
	slow     float64
}

const windowParts = 10

type outcomes struct{ all, failed, slow float64 }

func newBreaker(c *config.CircuitBreaker) *breaker {
	return &breaker{CircuitBreaker: c, random: rand.New(rand.NewPCG(1, 2))} // the same forecast each time
}

// maxSteps and minSteps bound the work for a span: of all breakers, and of each if there are many.
const (
	maxSteps = 2000
	minSteps = 20
)

// run returns the share of the calls that are refused. They come in a number of steps at most.
func (b *breaker) run(length time.Duration, o *observed, most int) float64 {
	if o.judged > 0 {
		b.failures, b.slow = o.of(o.failed), o.of(o.late)
	}
	if o.calls == 0 {
		b.pass(length.Seconds())
		return 0
	}
	steps := math.Ceil(min(o.calls, float64(most)))
	each, pause, refused := o.calls/steps, length.Seconds()/steps, 0.0
	for range int(steps) {
		b.pass(pause * b.random.ExpFloat64())
		refused += b.meet(each)
	}
	return refused / o.calls
}

// pass has time pass.
func (b *breaker) pass(seconds float64) {
	if b.openFor > 0 {
		b.openFor -= seconds
		b.probing, b.probes = b.openFor <= 0, 0
		return
	}
	length := b.Window.Std().Seconds() / windowParts
	for b.partFor += seconds; b.partFor >= length; b.partFor -= length {
		b.part = (b.part + 1) % windowParts
		b.window[b.part] = outcomes{}
		if b.partFor > windowParts*length {
			b.partFor = windowParts * length
		}
	}
}

// meet returns how many of some calls at once are refused.
func (b *breaker) meet(calls float64) float64 {
	switch {
	case b.openFor > 0:
		return calls
	case b.probing:
		return b.probe(calls)
	}
	n := outcomes{calls, b.some(calls, b.failures), b.some(calls, b.slow)}
	w := &b.window[b.part]
	w.all, w.failed, w.slow = w.all+n.all, w.failed+n.failed, w.slow+n.slow
	if b.trips(n) {
		b.open()
	}
	return 0
}

func (b *breaker) open() {
	b.openFor, b.probing, b.inARow = b.OpenTimeout.Std().Seconds(), false, 0
	b.window = [windowParts]outcomes{}
}

// probe lets as many calls through as must succeed.
func (b *breaker) probe(calls float64) float64 {
	for ; calls >= 1 && b.probes < float64(b.HalfOpenRequests); calls-- {
		b.probes++
		if bad := b.failures + (1-b.failures)*b.slow; b.random.Float64() < bad {
			b.open()
			return calls - 1
		}
	}
	b.probing = b.probes < float64(b.HalfOpenRequests)
	return 0
}

// some returns how many of some calls have an outcome that a share of all has.
func (b *breaker) some(calls, share float64) float64 {
	const few = 20
	if calls > few {
		n := calls*share + b.random.NormFloat64()*math.Sqrt(calls*share*(1-share))
		return min(max(n, 0), calls)
	}
	n := 0.0
	for ; calls > 0; calls-- {
		if b.random.Float64() < share {
			n += min(calls, 1)
		}
	}
	return n
}

// trips reports whether the breaker opens.
func (b *breaker) trips(last outcomes) bool {
	if n := float64(b.ConsecutiveFailures); n > 0 {
		if last.failed < last.all {
			b.inARow = 0
		}
		b.inARow += last.failed
		if b.inARow >= n || last.failed > 0 && last.all > 1 && b.random.Float64() < rowOf(n, last.failed/last.all, last.all) {
			return true
		}
	}
	var n outcomes
	for i := range b.window {
		w := &b.window[i]
		n.all, n.failed, n.slow = n.all+w.all, n.failed+w.failed, n.slow+w.slow
	}
	rate, slow := float64(b.FailureRate), float64(b.SlowCallRate)
	return n.all >= float64(b.MinRequests) && (rate > 0 && n.failed >= rate*n.all || slow > 0 && n.slow >= slow*n.all)
}

// rowOf returns how likely n failures in a row are among some calls, of which a share fails.
func rowOf(n, share, calls float64) float64 {
	if share >= 1 {
		return 1
	}
	row := math.Pow(share, n)
	between := (1 - row) / ((1 - share) * row) // calls until there is one
	return 1 - math.Exp(-calls/between)
}
