package wire

import (
	"sync/atomic"
	"time"
)

const (
	forecasts    = 1024
	answerCopies = 4        // of an answer while it is made: the value, its encoding, and what an encoder grows through
	littleAnswer = 16 << 10 // nothing is taken for
	answerWait   = time.Second

	coldCalls = 8                      // of a method may run while none has been answered,
	coldStep  = 100 * time.Millisecond // and twice as many after each
)

// forecast is how long the answers of a method were of late.
type forecast struct {
	size  atomic.Int64 // bytes, and one more: 0 for unknown
	calls atomic.Int64 // while it is unknown
	since atomic.Int64 // when the first of them came, in nanoseconds since the budget's epoch
}

// meet counts a call of a method of which no answer is known. When there are many it waits, for the first answer, or until
// it is clear that the method takes its time: then calls are slow for other reasons than the length of their answers.
func (f *forecast) meet(epoch time.Time) {
	n := f.calls.Add(1)
	if n == 1 {
		f.since.Store(int64(time.Since(epoch)))
	}
	for f.size.Load() == 0 {
		steps := (time.Since(epoch) - time.Duration(f.since.Load())) / coldStep
		if n>>min(steps, 62) <= coldCalls {
			return
		}
		time.Sleep(waitStep)
	}
}

// forecastOf finds the forecast of a method. Those whose names hash alike share one.
func (b *Budget) forecastOf(service, method string) *forecast {
	h := uint32(2166136261) // FNV-1a
	for _, name := range [...]string{service, method} {
		for i := range len(name) {
			h = (h ^ uint32(name[i]|0x20)) * 16777619 // names in other letter case find the same method
		}
	}
	return &b.forecasts[h%forecasts]
}

// learn follows what grows at once, and what shrinks by and by.
func learn(size *atomic.Int64, n int64) {
	old := size.Load()
	if old > 0 && n < littleAnswer && old < littleAnswer {
		return
	}
	if n < old {
		n = old - (old-n)/8 - 1
	}
	size.Store(n)
}

// An Answer is the answer of a call before it is made. Since it cannot be refused then, as many bytes as it will probably
// need are taken from a Budget before the call runs. The zero value needs none. It belongs to one goroutine at a time.
type Answer struct {
	share *Share
	known *forecast
	held  int64

	favoured bool // it has taken less than the method's answers need
}

// NewAnswer returns the Answer of a call that has come over the connection.
func (s *Share) NewAnswer(service, method string) Answer {
	return Answer{share: s, known: s.budget.forecastOf(service, method)}
}

// Begin returns when the call may run. It reports false when there has been no room for the answer for too long, though its
// peer has taken all others, or when over reports that nobody waits for it.
func (a *Answer) Begin(over func() bool) bool {
	if a.known == nil {
		return true
	}
	if a.known.size.Load() == 0 {
		a.known.meet(a.share.budget.epoch)
	}
	return a.take(false) || a.await(over)
}

// take takes the bytes, and reports whether they were there. For the only answer of a connection whose answers were shorter
// of late, that may be less, but not for many at a time: a flood of long answers of the method does not hold it up.
func (a *Answer) take(only bool) bool {
	if a.held > 0 || a.known == nil {
		return true
	}
	n := a.known.size.Load()
	if n < littleAnswer {
		return true
	}
	s := a.share
	least := s.longest.Load() // and one more
	if !s.takeForAnswer(answerCopies * n) {
		if !only || least == 0 || least >= n || s.budget.favours.Load() >= coldCalls || !s.takeForAnswer(answerCopies*least) {
			return false
		}
		a.favoured, n = true, least
		s.budget.favours.Add(1)
	}
	s.making.Add(1)
	a.held = answerCopies * n
	return true
}

func (s *Share) takeForAnswer(n int64) bool {
	return s.take(&s.bytes, &s.budget.bytes, n, s.budget.maxBytes.Load(), smallServed)
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

// Made is told how long the answer has become. An error tells little of other calls.
func (a *Answer) Made(bytes int, err error) {
	switch {
	case a.known == nil:
	case err != nil:
		a.known.size.CompareAndSwap(0, 1)
	default:
		learn(&a.known.size, int64(bytes)+1)
		learn(&a.share.longest, int64(bytes)+1)
	}
}

// End gives the bytes back: the answer is counted by itself, or there will be none.
func (a *Answer) End() {
	if a.held > 0 {
		a.share.making.Add(-1)
		a.share.Give(a.held)
		a.held = 0
		if a.favoured {
			a.favoured = false
			a.share.budget.favours.Add(-1)
		}
	}
}
