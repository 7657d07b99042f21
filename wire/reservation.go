package wire

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	answerCopies = 4 // held at a time for an answer over HTTP/2: the value, its encoding, and the buffers it grows through
	maxPartial   = 8

	// A connection waits so long for bytes for its next answer; longer while another answer is under way, since that ends.
	maxAnswerWait     = time.Second
	maxAnswerWaitBusy = 10 * time.Second
	lookGap           = 100 * time.Millisecond // between two looks: a longer gap means that nothing was waiting
)

// Reservation takes as many bytes as the answer of a call will probably need from a Budget before the call runs, since an
// answer cannot be refused once it exists. The zero value reserves nothing. It belongs to one goroutine at a time.
type Reservation struct {
	share           *Share
	size            *atomic.Int64 // estimate for the method; nil while no method has long answers
	service, method string
	argument        int

	copies  int64 // of the answer that are reserved
	held    int64
	active  bool // it counts as an answer under way
	partial bool // it holds less than the estimate
}

// NewReservation returns the Reservation of a call that came over the connection of s with an argument of that length.
func NewReservation(s *Share, service, method string, argument int) Reservation {
	return newReservation(s, service, method, argument, answerCopies)
}

func newReservation(s *Share, service, method string, argument int, copies int64) Reservation {
	size := s.budget.answers.of(service, method, argument)
	return Reservation{share: s, size: size, service: service, method: method, argument: argument, copies: copies}
}

// Try takes the bytes, and reports whether they were there. It does not overtake a Reservation that waits.
func (r *Reservation) Try() bool {
	return r.expected() == 0 || len(r.share.answers.line) == 0 && r.take(false)
}

// Wait returns when the call may run. It reports false when there was no room for too long, or ctx has ended.
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

// look reports whether the first waiting call of the connection may run now, and whether the wait has been too long. While
// bytes are queued for the peer, or an answer is under way, room is expected.
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

// expected returns how long the answer will probably be; 0 when it is not long.
func (r *Reservation) expected() int64 {
	if r.size == nil {
		return 0
	}
	return r.size.Load()
}

// take takes the bytes once, and reports whether they were there. The only answer of a connection may do with fewer; several
// at a time may not, since each may need more than that.
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

// takePart takes less than the estimate for the method: the estimate for the connection, or what is free except the reserve.
// A connection that holds everything in use may exceed the budget.
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

// Learn records the length of the answer for the estimates, unless the call failed.
func (r *Reservation) Learn(bytes int, err error) {
	if r.share != nil && err == nil {
		r.share.budget.answers.learn(r.size, r.service, r.method, r.argument, int64(bytes))
		updateEstimate(&r.share.answers.longest, int64(bytes))
	}
}

// Release gives the bytes back, when the answer is counted by itself or there will be none.
func (r *Reservation) Release() {
	if !r.active {
		return
	}
	r.share.answers.active.Add(-1)
	r.share.Give(r.held)
	if r.partial {
		r.share.budget.partial.Add(-1)
	}
	r.active, r.partial, r.held = false, false, 0
}
