package wire

import (
	"sync/atomic"
	"time"
)

const (
	answerCopies = 4 // of an answer while it is made: the value, its encoding, and what an encoder grows through
	answerWait   = time.Second
	mostFavours  = 8
)

// An Answer is the answer of a call that came through no Server, before it is made. Since it cannot be refused then, as many
// bytes as it will probably need are taken from a Budget before the call runs. The zero value needs none. It belongs to one
// goroutine at a time.
type Answer struct {
	share           *Share
	size            *atomic.Int64 // of the answers of the method; nil while none is known to be long
	service, method string
	argument        int

	held     int64
	making   bool // it counts among those that are being made
	favoured bool // it has taken less than the method's answers need
}

// NewAnswer returns the Answer of a call that has come over the connection, with the length of its argument.
func (s *Share) NewAnswer(service, method string, argument int) Answer {
	return Answer{share: s, size: s.budget.sizes.of(service, method, argument), service: service, method: method, argument: argument}
}

// Begin returns when the call may run. It reports false when there has been no room for the answer for too long, though its
// peer has taken all others, or when over reports that nobody waits for it.
func (a *Answer) Begin(over func() bool) bool { return a.take(false) || a.await(over) }

// take takes the bytes, and reports whether they were there. For the only answer of a connection whose answers were shorter
// of late, that may be less, but not for many at a time: a flood of long answers of the method does not hold it up.
func (a *Answer) take(only bool) bool {
	if a.size == nil {
		return true
	}
	n := a.size.Load()
	if n == 0 {
		return true
	}
	s := a.share
	if !s.takeForAnswer(n) {
		usual := s.longest.Load()
		if !only || !s.served.Load() || usual >= n || s.budget.favours.Load() >= mostFavours || !s.takeForAnswer(usual) {
			return false
		}
		a.favoured, n = true, usual
		s.budget.favours.Add(1)
	}
	s.making.Add(1)
	a.making, a.held = true, answerCopies*n
	return true
}

func (s *Share) takeForAnswer(n int64) bool {
	return n == 0 || s.take(&s.bytes, &s.budget.bytes, answerCopies*n, s.budget.maxBytes.Load(), smallServed)
}

// await waits in line until the bytes are there.
func (a *Answer) await(over func() bool) bool {
	s := a.share
	s.line <- struct{}{}
	defer func() { <-s.line }()
	alone := func() bool {
		var waiting int64
		if s.holder != nil {
			waiting, _ = s.holder.Untaken()
		}
		return waiting == 0 && s.making.Load() == 0
	}
	for begin := time.Now(); !a.take(alone()); time.Sleep(waitStep) {
		s.budget.relieve()
		now := time.Now()
		switch {
		case over():
			return false
		case !alone():
			begin = now
		case now.Sub(begin) >= answerWait || now.Sub(s.denied) < answerWait:
			s.denied = now
			return false
		}
	}
	return true
}

// Made is told how long the answer has become. An error tells nothing of other calls.
func (a *Answer) Made(bytes int, err error) {
	if a.share != nil && err == nil {
		a.share.budget.sizes.learn(a.size, a.service, a.method, a.argument, int64(bytes))
		follow(&a.share.longest, int64(bytes))
	}
}

// End gives the bytes back: the answer is counted by itself, or there will be none.
func (a *Answer) End() {
	if !a.making {
		return
	}
	a.share.making.Add(-1)
	if a.held > 0 {
		a.share.Give(a.held)
	}
	if a.favoured {
		a.share.budget.favours.Add(-1)
	}
	a.making, a.favoured, a.held = false, false, 0
}
