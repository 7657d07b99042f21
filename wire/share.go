package wire

import (
	"sync/atomic"
	"time"
)

// Share is what one connection holds of a Budget. It may be used by several goroutines at once.
type Share struct {
	budget       *Budget
	holder       Holder
	calls, bytes atomic.Int64
	spared       atomic.Int64 // of bytes
	served       atomic.Bool  // a call of it has ended
	refusedAt    atomic.Int64 // in nanoseconds since the budget's epoch, when it was refused last; 0 for never

	longest atomic.Int64  // bytes of its answers of late; 0 when they are not long
	making  atomic.Int64  // answers that bytes have been taken for
	line    chan struct{} // of room for one: the Answer that waits for bytes; nil for a Server's, whose lock does the same

	// These belong to who has the line.
	since  time.Time // when it began to move no further
	looked time.Time // when the first of it looked for bytes last
}

const (
	reserved    = 16          // one in so many parts of a budget is kept for connections that hold little
	smallServed = 64 << 10    // bytes that are little for a connection that has had calls served,
	smallNew    = 4 << 10     // and for another, when others have used up the budget
	greedyFor   = time.Second // after a refusal: for so long a connection gets nothing of the reserve that is not little
)

// NewShare makes the Share of a connection. The holder may be nil: then the connection is never cut for its answers. Close
// ends the Share.
func (b *Budget) NewShare(holder Holder) *Share {
	s := &Share{line: make(chan struct{}, 1)}
	s.open(b, holder)
	return s
}

func (s *Share) open(b *Budget, holder Holder) {
	s.budget, s.holder = b, holder
	if holder == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.owners[s] = new(seen)
}

// Close says that the connection is gone. What its calls still hold is given back by them.
func (s *Share) Close() {
	if s.holder == nil {
		return
	}
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	delete(s.budget.owners, s)
}

// Budget returns the Budget that s is a share of.
func (s *Share) Budget() *Budget { return s.budget }

// Held returns how many calls and bytes the connection holds.
func (s *Share) Held() (calls, bytes int64) { return s.calls.Load(), s.bytes.Load() }

// TakeCall takes the place of a call, and reports whether there was one. GiveCall gives it back.
func (s *Share) TakeCall() bool {
	return s.take(&s.calls, &s.budget.calls, 1, s.budget.maxCalls.Load(), 1)
}

// GiveCall gives the place of a call that has ended back.
func (s *Share) GiveCall() {
	if !s.served.Load() {
		s.served.Store(true)
	}
	s.returnCall()
}

// returnCall gives the place of a call back that was not run.
func (s *Share) returnCall() {
	s.calls.Add(-1)
	s.budget.calls.Add(-1)
}

// TakeBytes takes n bytes, and reports whether they were there. Give gives them back.
func (s *Share) TakeBytes(n int64) bool {
	if s.take(&s.bytes, &s.budget.bytes, n, s.budget.maxBytes.Load(), smallServed) || s.takeSpare(n) {
		return true
	}
	s.budget.relieve()
	return false
}

// takeSpare takes n bytes for a connection that holds little, though others have used up the budget: answers, which cannot
// be refused, may exceed it. A sixteenth of the budget is there for such, beyond it.
func (s *Share) takeSpare(n int64) bool {
	little := int64(smallServed)
	if !s.served.Load() {
		little = smallNew
	}
	if s.bytes.Load()+n > little {
		return false
	}
	for {
		spared := s.budget.spared.Load()
		if spared+n > s.budget.maxBytes.Load()/reserved {
			return false
		}
		if s.budget.spared.CompareAndSwap(spared, spared+n) {
			s.add(n)
			s.spared.Add(n)
			return true
		}
	}
}

// settle gives back what was spared and is not held any longer, or has become part of the budget because there is room.
// Whatever else a connection holds is given back before that.
func (s *Share) settle() {
	for {
		spared, keep := s.spared.Load(), int64(0)
		if most := s.budget.maxBytes.Load(); s.budget.bytes.Load() > most-most/reserved {
			keep = min(spared, s.bytes.Load())
		}
		if spared == keep {
			return
		}
		if s.spared.CompareAndSwap(spared, keep) {
			s.budget.spared.Add(keep - spared)
			return
		}
	}
}

func (s *Share) takeBytesSoon(n int64) bool {
	return s.TakeBytes(n) || soon(mostWait, func() bool { return s.TakeBytes(n) })
}

// Hold takes n bytes that cannot be refused any more, such as those of an answer. Give gives them back. It may cut other
// connections, and calls methods of their Holders.
func (s *Share) Hold(n int64) {
	s.add(n)
	s.budget.relieveIfFull()
}

// Give gives n bytes back.
func (s *Share) Give(n int64) { s.add(-n) }

func (s *Share) add(n int64) {
	s.bytes.Add(n)
	s.budget.bytes.Add(n)
	if n < 0 && s.spared.Load() > 0 {
		s.settle()
	}
}

// crowded reports whether the connection holds at least as many bytes as are free: then it gets no more of them.
func (s *Share) crowded() bool {
	held := s.bytes.Load()
	return held > 0 && held >= s.budget.maxBytes.Load()-s.budget.bytes.Load()
}

// take adds n to what is held, of a total that must not exceed most, if that leaves at least as much free as is held then.
// What could never be had otherwise is not too much: anything while nothing is held, and all of the budget for the only
// call that there is. The last sixteenth is a reserve: for connections that have not asked for too much of late, and as
// much as first for those of which nothing is known yet. Else new connections, of which each takes a little, would leave
// nothing to others.
func (s *Share) take(held, total *atomic.Int64, n, most, first int64) bool {
	if s.tryTake(held, total, n, most, first) {
		return true
	}
	s.refusedAt.Store(int64(time.Since(s.budget.epoch)) | 1)
	return false
}

// tryTake is take for one who looks now and then, which is not to ask for too much.
func (s *Share) tryTake(held, total *atomic.Int64, n, most, first int64) bool {
	for {
		all := total.Load()
		mine, left := held.Load()+n, most-all-n
		if (mine > left || left < most/reserved && !s.modest(mine <= first)) && all != 0 && !s.isAlone(held, all, mine, most) {
			return false
		}
		if total.CompareAndSwap(all, all+n) { // what is refused is never counted: it would refuse others for a moment
			held.Add(n)
			return true
		}
	}
}

// isAlone reports whether bytes are taken for the only call of the connection while no other holds anything.
func (s *Share) isAlone(held *atomic.Int64, all, mine, most int64) bool {
	return held == &s.bytes && held.Load() == all && mine <= most && s.calls.Load() == 1
}

// modest reports whether the connection may have of the reserve.
func (s *Share) modest(little bool) bool {
	at := s.refusedAt.Load()
	if at != 0 && time.Since(s.budget.epoch)-time.Duration(at) < greedyFor {
		return little && s.served.Load()
	}
	return little || s.served.Load()
}

// NewAnswer returns the Answer of a call that has come over the connection, with the length of its argument.
func (s *Share) NewAnswer(service, method string, argument int) Answer {
	a := s.newAnswer(service, method, argument)
	a.copies = answerCopies
	return a
}

func (s *Share) newAnswer(service, method string, argument int) Answer {
	size := s.budget.sizes.of(service, method, argument)
	return Answer{share: s, size: size, service: service, method: method, argument: argument, copies: 1}
}

func (s *Share) takeForAnswer(n int64) bool {
	return n == 0 || s.tryTake(&s.bytes, &s.budget.bytes, n, s.budget.maxBytes.Load(), smallServed)
}
