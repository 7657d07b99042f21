package policies

import (
	"math"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/code"
)

// clock keeps the deadline of a call.
type clock struct {
	deadline time.Time
	arrived  time.Time
	timeout  *entry    // the enforced timeout
	soft     [2]*entry // timeouts in shadow
	byRule   bool      // the deadline is the timeout's, not the caller's own
	within   bool      // a rule of this host set it for the call within which this one is made
}

// start sets the deadline and finds the timeouts that count.
func (k *clock) start(p *plan, c *Call, now time.Time) {
	k.arrived = c.Arrived
	if e := winner(p.timeout, c, now); e != nil {
		if e.rule.enforcedFor(c) {
			k.timeout = e
			if d := c.Arrived.Add(e.rule.timeout); k.deadline.IsZero() || d.Before(k.deadline) {
				k.deadline, k.byRule = d, true
			}
		} else {
			k.soft[0] = e
		}
	}
	k.soft[1] = winner(p.shadow.timeout, c, now)
}

// left is the time until the call's deadline.
func (k *clock) left() time.Duration {
	if k.deadline.IsZero() {
		return math.MaxInt64
	}
	return max(time.Until(k.deadline), 0)
}

// probeTime returns how long a probe through a breaker may take, 0 without a deadline, and the outcome of one that takes
// longer: a failure, or none if the caller set the deadline.
func (k *clock) probeTime() (d time.Duration, outcome error) {
	switch {
	case k.deadline.IsZero():
		return 0, limit.ErrProbeTimeout
	case k.byCaller():
		return max(k.left(), 1), limit.ErrExcluded
	}
	return max(k.left(), 1), limit.ErrProbeTimeout
}

// byCaller reports whether the caller set the deadline, and no rule of this host.
func (k *clock) byCaller() bool { return !k.byRule && !k.within && !k.deadline.IsZero() }

// pastDeadline reports whether an error may come from the deadline.
func (k *clock) pastDeadline(err error) bool {
	return err != nil && !k.deadline.IsZero() && !time.Now().Before(k.deadline)
}

// overdue returns the error of a call at its deadline.
func (k *clock) overdue(host string) *code.Error {
	if !k.byRule {
		return code.Refuse(code.DeadlineExceeded, code.ReasonTimeout, "deadline of the caller passed", "", host, 0)
	}
	r := k.timeout.rule
	return r.refuse(code.DeadlineExceeded, code.ReasonTimeout, "timed out after "+config.Duration(r.timeout).String(), 0)
}

// countSoft counts the calls that a timeout in shadow would have ended.
func (k *clock) countSoft() (would []ShadowRefusal) {
	for _, e := range k.soft {
		if e == nil {
			continue
		}
		if time.Since(k.arrived) > e.rule.timeout {
			e.counts.Shadow.Add(1)
			would = append(would, e.shadow(config.KindTimeout, code.DeadlineExceeded, code.ReasonTimeout))
		} else {
			e.counts.Allow.Add(1)
		}
	}
	return would
}
