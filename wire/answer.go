package wire

import (
	"context"
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const (
	answerCopies = 4 // of an answer over HTTP/2, where many are made at once: the value, its encoding, and what that grows through
	mostFavours  = 8

	// answerWait is how long the calls of a connection wait while no answer can begin; much longer while another is under way,
	// since that ends.
	answerWait     = time.Second
	answerWaitBusy = 10 * time.Second
	lineGap        = 100 * time.Millisecond // without a look: then nobody has waited
)

// An Answer is the answer of a call before it is made. Since it cannot be refused then, as many bytes as it will probably
// need are taken from a Budget before the call runs. The zero value needs none. It belongs to one goroutine at a time.
type Answer struct {
	share           *Share
	size            *atomic.Int64 // of the answers of the method; nil while no method has long ones
	service, method string
	argument        int

	copies   int64 // of it that bytes are taken for
	held     int64
	making   bool // it counts among those that are being made
	favoured bool // it has taken less than the method's answers need
}

// Try takes the bytes, and reports whether they were there. It does not overtake one that waits.
func (a *Answer) Try() bool {
	return a.expected() == 0 || len(a.share.line) == 0 && a.take(false)
}

// Wait returns when the call may run. It reports false when there has been no room for too long, or ctx has ended.
func (a *Answer) Wait(ctx context.Context) bool {
	s := a.share
	select {
	case s.line <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-s.line }()
	look := time.NewTicker(waitStep)
	defer look.Stop()
	for {
		var waiting int64
		if s.holder != nil {
			waiting, _ = s.holder.Untaken()
		}
		if begins, over := a.admit(waiting > 0); begins || over {
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

// admit reports whether the first call in line may run now, and whether the line has not moved for too long. waiting reports
// whether bytes are queued for the peer: taking them makes room, as answers do that are being made.
func (a *Answer) admit(waiting bool) (begins, over bool) {
	if a.expected() == 0 || a.making {
		return true, false
	}
	s, now, most := a.share, time.Now(), answerWait
	busy := waiting || s.making.Load() > 0
	if busy {
		most = answerWaitBusy
	}
	if now.Sub(s.looked) > lineGap {
		s.since = now // nobody was there
	}
	s.looked = now
	if a.take(!busy) {
		s.since = now
		return true, false
	}
	return false, now.Sub(s.since) >= most
}

// expected is how long the answer will probably be; 0 when it is not long.
func (a *Answer) expected() int64 {
	if a.size == nil {
		return 0
	}
	return a.size.Load()
}

// take takes the bytes once, and reports whether they were there. For the only answer of a connection they may be fewer, but
// not for many answers at a time: they may need more than that.
func (a *Answer) take(only bool) bool {
	n := a.expected()
	if a.making || n == 0 {
		return true
	}
	s := a.share
	if most := a.copies * n; s.takeForAnswer(most) {
		a.held = most
	} else if !only || !a.takeFewer(n) {
		return false
	}
	a.making = true
	s.making.Add(1)
	return true
}

// takeFewer takes less than the method's answers need: what the recent, shorter answers of the connection needed, or what is
// free except the reserve. A connection that holds everything in use may exceed the budget.
func (a *Answer) takeFewer(n int64) bool {
	s := a.share
	b := s.budget
	if b.favours.Load() >= mostFavours {
		return false
	}
	held, all, most := s.bytes.Load(), b.bytes.Load(), b.maxBytes.Load()
	left := min(a.copies*n, most-most/reserved-all)
	switch usual := a.copies * s.longest.Load(); {
	case s.served.Load() && usual < a.copies*n && s.takeForAnswer(usual):
		a.held = usual
	case held == all:
		a.held = max(left, n)
		s.add(a.held)
	case left >= n && b.bytes.CompareAndSwap(all, all+left):
		s.bytes.Add(left)
		a.held = left
	default:
		return false
	}
	a.favoured = true
	b.favours.Add(1)
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
	a.share.Give(a.held)
	if a.favoured {
		a.share.budget.favours.Add(-1)
	}
	a.making, a.favoured, a.held = false, false, 0
}

const (
	longAnswer  = 16 << 10 // nothing is reserved for shorter ones
	answerSlots = 1024
)

// answerSizes is how long the answers of methods to arguments of about a length are of late: so much is reserved for a call
// that begins, since an answer cannot be refused when it is there. Methods may share a slot. Nothing is looked up before
// there has been a long answer.
type answerSizes struct {
	seed  uint64
	any   atomic.Bool
	slots [answerSlots]atomic.Int64
}

func (a *answerSizes) init() { a.seed = rand.Uint64() }

// of returns the slot of a method, nil while no method has long answers.
func (a *answerSizes) of(service, method string, argument int) *atomic.Int64 {
	if !a.any.Load() {
		return nil
	}
	return a.slot(service, method, argument)
}

// slot finds a method in whatever letter case it is called.
func (a *answerSizes) slot(service, method string, argument int) *atomic.Int64 {
	const prime = 1099511628211 // FNV-1a
	h := a.seed
	for _, name := range [...]string{service, method} {
		for i := range len(name) {
			h = (h ^ uint64(name[i]|0x20)) * prime
		}
		h = (h ^ '.') * prime
	}
	h = (h ^ uint64(bits.Len(uint(argument))/2)) * prime
	return &a.slots[(h>>32)%answerSlots]
}

// learn is told the length of an answer. The slot is what of has returned for its call.
func (a *answerSizes) learn(slot *atomic.Int64, service, method string, argument int, n int64) {
	if slot == nil {
		if n < longAnswer {
			return
		}
		a.any.Store(true)
		slot = a.slot(service, method, argument)
	}
	follow(slot, n)
}

// follow has size follow the lengths of answers. Shorter ones count little, so that long ones are not forgotten between
// them; 0 means that they are not long.
func follow(size *atomic.Int64, n int64) {
	before := size.Load()
	switch after := before - (before-n)/32; {
	case n >= before && n >= longAnswer:
		size.Store(n)
	case before == 0 || n >= before:
	case after < longAnswer:
		size.Store(0)
	default:
		size.Store(after)
	}
}
