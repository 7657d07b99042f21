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
	redialSpread  = 200 * time.Millisecond // a good connection that was lost is made again within so long

	// dialWindow is the time in which an endpoint is dialled again and again at most twice.
	dialWindow = time.Second
)

// backoff says when a node may be dialled.
type backoff struct {
	failures int          // dials and short lives in a row
	soonest  time.Time    // no dial before
	dials    [2]time.Time // when the last two began
}

// dialling notes a dial.
func (b *backoff) dialling() { b.dials = [2]time.Time{b.dials[1], time.Now()} }

// allowed returns t, or when the third dial of a window may be.
func (b *backoff) allowed(t time.Time) time.Time {
	if third := b.dials[0].Add(dialWindow); third.After(t) {
		return third
	}
	return t
}

// fail puts the next dial off.
func (b *backoff) fail() {
	d := min(float64(firstBackoff)*math.Pow(backoffFactor, float64(b.failures)), float64(backoffCap))
	b.failures++
	b.soonest = b.allowed(time.Now().Add(jittered(time.Duration(d))))
}

// succeed has the next dial come at once: for a connection that was good soon, but not with those of all clients.
func (b *backoff) succeed(good bool) {
	b.failures = 0
	if good {
		b.soonest = time.Now().Add(rand.N(redialSpread))
	} else {
		b.soonest = b.allowed(time.Now())
	}
}

// hurry brings the next dial forward.
func (b *backoff) hurry() {
	if soon := b.allowed(time.Now()); soon.Before(b.soonest) {
		b.soonest = soon
	}
}

// rested reports whether nothing of it need be remembered.
func (b *backoff) rested() bool { return b.failures == 0 || time.Since(b.dials[1]) > dialWindow }

// jittered returns d, 20 % more or less: clients that lost the same thing at the same time do not come back as one.
func jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}
