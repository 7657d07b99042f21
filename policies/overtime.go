package policies

import (
	"sync/atomic"
	"time"
)

// overtime is the time of a call behind its deadline, at which it was answered: to a breaker it is slow once it has taken
// so long, be it that its handler has not returned yet.
type overtime struct {
	admission admission
	started   time.Time
	rule      *breakerRule
	verdict   error // if it is not slow; a failure was reported at once
	timer     *time.Timer
	over      atomic.Bool
}

func newOvertime(a admission, started time.Time, r *breakerRule, verdict error) *overtime {
	o := &overtime{admission: a, started: started, rule: r, verdict: verdict}
	if isFailure(verdict) {
		a.settle(verdict)
	}
	o.timer = time.AfterFunc(r.slowCallDuration-time.Since(started), func() { o.end(true) })
	return o
}

// returned ends it when the handler has returned.
func (o *overtime) returned() {
	o.timer.Stop()
	o.end(o.rule.slow(time.Since(o.started)))
}

func (o *overtime) end(slow bool) {
	switch {
	case o.over.Swap(true):
	case !isFailure(o.verdict) && slow:
		o.admission.settle(errSlow)
	case !isFailure(o.verdict):
		o.admission.settle(o.verdict)
	case slow:
		o.admission.breaker.ranSlow()
	}
}
