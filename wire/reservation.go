package wire

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	answerCopies = 4 // copies of an answer over HTTP/2 at a time: the value, its encoding, and the buffers this grows through
	maxPartial   = 8 // Reservations of a Budget that may hold less than the estimate

	// Maximum time that a connection waits for the bytes of its next answer, longer while another one is in progress, which
	// will free some.
	maxAnswerWait     = time.Second
	maxAnswerWaitBusy = 10 * time.Second
	lookGap           = 100 * time.Millisecond // a longer time between two checks means that nothing was waiting
)

// Reservation takes the bytes that the answer of a call will probably need from a Budget before the call runs, since an
// answer cannot be refused once it exists. The zero value reserves nothing. A Reservation is not safe for concurrent use.
type Reservation struct {
	share           *Share
	size            *atomic.Int64 // estimate for the method; nil while no method has long answers
	service, method string
	argument        int

	copies  int64 // of the answer to reserve for
	held    int64
	active  bool // it counts as an answer in progress
	partial bool // it holds less than the estimate
}

// NewReservation returns the Reservation of a call on the connection of s. argument is the length of the call's argument.
func NewReservation(s *Share, service, method string, argument int) Reservation {
	return newReservation(s, service, method, argument, answerCopies)
}

func newReservation(s *Share, service, method string, argument int, copies int64) Reservation {
	size := s.budget.answers.of(service, method, argument)
	return Reservation{share: s, size: size, service: service, method: method, argument: argument, copies: copies}
}

// Try takes the bytes without waiting, and reports whether it could. It does not overtake a Reservation that waits.
func (r *Reservation) Try() bool {
	return r.expected() == 0 || len(r.share.answers.line) == 0 && r.take(false)
}

// Wait takes the bytes, and reports whether it could before a timeout or the end of ctx.
func (r *Reservation) Wait(ctx context.Context) bool {
	s := r.share
	select {
	case s.answers.line <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-s.answers.line }()
	look := time.NewTicker(retryStep)
	defer look.Stop()
	for {
		if begins, over := r.look(s.queued() > 0); begins || over {
			return begins
		}
		s.budget.relieve()
		select {
		case <-look.C:
		case <-ctx.Done():
			return false
		}
	}
}

// look reports whether the first waiting call of the connection may run now, and whether it has waited too long. While bytes
// are queued for the peer, or an answer is in progress, it may wait longer, since these will free some.
func (r *Reservation) look(queued bool) (begins, over bool) {
	if r.expected() == 0 || r.active {
		return true, false
	}
	line, now, limit := &r.share.answers, time.Now(), maxAnswerWait
	busy := queued || line.active.Load() > 0
	if busy {
		limit = maxAnswerWaitBusy
	}
	if now.Sub(line.lookedAt) > lookGap {
		line.stuckSince = now
	}
	line.lookedAt = now
	if r.take(!busy) {
		line.stuckSince = now
		return true, false
	}
	return false, now.Sub(line.stuckSince) >= limit
}

// expected returns the estimated length of the answer; 0 if it is not long.
func (r *Reservation) expected() int64 {
	if r.size == nil {
		return 0
	}
	return r.size.Load()
}

// take takes the bytes unless they are held already, and reports whether they are. The only answer of a connection may get
// fewer; several at a time may not, since each may need more.
func (r *Reservation) take(only bool) bool {
	n := r.expected()
	if r.active || n == 0 {
		return true
	}
	if want := r.copies * n; r.takeBytes(want) {
		r.held = want
	} else if !only || !r.takePart(n) {
		return false
	}
	r.active = true
	r.share.answers.active.Add(1)
	return true
}

func (r *Reservation) takeBytes(n int64) bool {
	s := r.share
	return n == 0 || s.tryTake(&s.bytes, &s.budget.bytes, n, s.budget.maxBytes.Load(), smallServed)
}

// takePart takes less than the method's estimate: the connection's estimate, or what is free without the reserve. A
// connection that holds everything in use may exceed the budget.
func (r *Reservation) takePart(n int64) bool {
	s := r.share
	b := s.budget
	if b.partial.Load() >= maxPartial {
		return false
	}
	held, all, limit := s.bytes.Load(), b.bytes.Load(), b.maxBytes.Load()
	free := min(r.copies*n, limit-limit/reserveDivisor-all)
	switch recent := r.copies * s.answers.longest.Load(); {
	case s.served.Load() && recent < r.copies*n && r.takeBytes(recent):
		r.held = recent
	case held == all:
		r.held = max(free, n)
		s.add(r.held)
	case free >= n && b.bytes.CompareAndSwap(all, all+free):
		s.bytes.Add(free)
		r.held = free
	default:
		return false
	}
	r.partial = true
	b.partial.Add(1)
	return true
}

// Learn updates the estimates with the length of the answer, unless the call failed.
func (r *Reservation) Learn(bytes int, err error) {
	if r.share != nil && err == nil {
		r.share.budget.answers.learn(r.size, r.service, r.method, r.argument, int64(bytes))
		updateEstimate(&r.share.answers.longest, int64(bytes))
	}
}

// Release returns the bytes. Call it when the answer itself is counted, or when there will be none.
func (r *Reservation) Release() {
	if !r.active {
		return
	}
	r.share.answers.active.Add(-1)
	r.share.ReleaseBytes(r.held)
	if r.partial {
		r.share.budget.partial.Add(-1)
	}
	r.active, r.partial, r.held = false, false, 0
}
