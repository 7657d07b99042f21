package client

import (
	"math"
	"math/rand/v2"
	"time"
)

const (
	firstBackoff  = 500 * time.Millisecond
	backoffFactor = 1.6
	backoffCap    = 2 * time.Second
	redialSpread  = 200 * time.Millisecond // a lost connection that was good is replaced within this time

	// dialWindow is the time within which an endpoint is dialled at most twice.
	dialWindow = time.Second
)

// backoff decides when a node may be dialled.
type backoff struct {
	failures int          // consecutive failed dials and short-lived connections
	soonest  time.Time    // earliest next dial
	dials    [2]time.Time // when the last two began
}

// dialling records a dial.
func (b *backoff) dialling() { b.dials = [2]time.Time{b.dials[1], time.Now()} }

// allowed returns t, or the time at which dialWindow permits another dial if that is later.
func (b *backoff) allowed(t time.Time) time.Time {
	if third := b.dials[0].Add(dialWindow); third.After(t) {
		return third
	}
	return t
}

// fail delays the next dial, by more with every failure.
func (b *backoff) fail() {
	d := min(float64(firstBackoff)*math.Pow(backoffFactor, float64(b.failures)), float64(backoffCap))
	b.failures++
	b.soonest = b.allowed(time.Now().Add(jittered(time.Duration(d))))
}

// succeed allows the next dial at once. After a good connection it is jittered, since all clients of a peer lose theirs at
// the same time.
func (b *backoff) succeed(good bool) {
	b.failures = 0
	if good {
		b.soonest = time.Now().Add(rand.N(redialSpread))
	} else {
		b.soonest = b.allowed(time.Now())
	}
}

// expedite allows the next dial as soon as dialWindow does.
func (b *backoff) expedite() {
	if soon := b.allowed(time.Now()); soon.Before(b.soonest) {
		b.soonest = soon
	}
}

// rested reports whether the backoff may be forgotten.
func (b *backoff) rested() bool { return b.failures == 0 || time.Since(b.dials[1]) > dialWindow }

// jittered returns d ± 20 %, so that clients do not retry in step.
func jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}
