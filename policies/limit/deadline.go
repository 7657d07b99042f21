package limit

import (
	"context"
	"math"
	"time"
)

// Deadline is when a call must have ended, and whose deadline that is.
type Deadline struct {
	At     time.Time // zero: never
	ByRule bool      // a rule's timeout set it
	Within bool      // a rule of this host set it for the call within which this one is made
}

// Left returns the time until the deadline.
func (d *Deadline) Left() time.Duration {
	if d.At.IsZero() {
		return math.MaxInt64
	}
	return max(time.Until(d.At), 0)
}

// Passed reports whether the deadline is over.
func (d *Deadline) Passed() bool { return !d.At.IsZero() && !time.Now().Before(d.At) }

// ByCaller reports whether the caller set the deadline, and no rule of this host.
func (d *Deadline) ByCaller() bool { return !d.ByRule && !d.Within && !d.At.IsZero() }

// ProbeTime returns how long a probe through a breaker may take, 0 without a deadline, and the outcome of one that takes
// longer: a failure, or none if the caller set the deadline.
func (d *Deadline) ProbeTime() (left time.Duration, outcome error) {
	switch {
	case d.At.IsZero():
		return 0, ErrProbeTimeout
	case d.ByCaller():
		return max(d.Left(), 1), ErrExcluded
	}
	return max(d.Left(), 1), ErrProbeTimeout
}

// deadlineSlack is how long before a deadline a timeout still counts as caused by it. Deadlines travel in whole
// milliseconds: a peer that keeps to one may answer slightly before it.
const deadlineSlack = 5 * time.Millisecond

// Reached reports whether a deadline has come, or is so near that a timeout now comes from it.
func Reached(deadline time.Time) bool { return time.Until(deadline) <= deadlineSlack }

// Sleep pauses for d, or until ctx ends, and returns the error of ctx then.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
