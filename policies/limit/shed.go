package limit

import (
	"sync/atomic"
	"time"
)

// Load is how busy the CPU is.
type Load struct {
	Utilization float64       // of Cores, from 0 to 1, smoothed
	Cores       float64       // that may be used; 0: not measured
	Over        time.Duration // over which it is smoothed
}

// maxShed bounds the share of calls that are refused. Something else may keep the CPU busy.
const maxShed = 0.95

// RefusedShare returns the share of the calls of a priority to refuse: 0 up to the utilization above,
// then rising to maxShed: at 1 for normal priority, and halfway between above and 1 for low priority. Calls of high priority are
// refused from halfway on, up to maxShed at 1.
func (l *Load) RefusedShare(above float64, p Priority) float64 {
	if l.Cores == 0 || l.Utilization <= above {
		return 0
	}
	excess := (l.Utilization - above) / (1 - above)
	switch p {
	case PriorityLow:
		excess *= 2
	case PriorityNormal:
	case PriorityHigh:
		excess = 2*excess - 1
	}
	return maxShed * max(min(excess, 1), 0)
}

// Draws spreads refusals evenly over calls. The zero Draws is ready for use.
type Draws struct {
	drawn atomic.Uint64
}

// Next returns a number from 0 up to 1, which is below any share about as often as the share says, and evenly so: they are the
// fractional parts of the multiples of the golden ratio.
func (d *Draws) Next() float64 {
	const ratio = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
	return float64(d.drawn.Add(1)*ratio>>11) / (1 << 53)
}
