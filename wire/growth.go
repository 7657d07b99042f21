package wire

import (
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// Growth takes the bytes of one message as they are read. When the Budget is short of bytes, the oldest half-read message
// gets them all the same and no other does, so that not all are stuck halfway. A Growth belongs to one goroutine.
type Growth struct {
	share  *Share
	ticket uint64 // in the budget's growthQueue; 0 while it is not in it
	beyond bool   // it got bytes beyond the limit, as the first of the queue
}

// NewGrowth returns the Growth of a message that comes over the connection of s.
func NewGrowth(s *Share) Growth { return Growth{share: s} }

// Take takes n bytes from the Share, and reports whether it could. They are given back to the Share.
func (g *Growth) Take(n int64) bool {
	if g.share.TakeBytes(n) {
		return true
	}
	b := g.share.budget
	if g.ticket == 0 {
		g.ticket = b.growths.join()
	}
	if !b.growths.isFirst(g.ticket) {
		return false
	}
	g.share.add(n)
	g.beyond = true
	return true
}

// Read is called when the message has been read, or will not be.
func (g *Growth) Read() {
	if !g.beyond {
		g.Done()
	}
}

// Done is called when the bytes have been given back.
func (g *Growth) Done() {
	if g.ticket != 0 {
		g.share.budget.growths.leave(g.ticket)
		g.ticket, g.beyond = 0, false
	}
}

const (
	maxReadWait = retryLimit // that the reader of a connection waits for bytes, in each readWindow
	readWindow  = time.Second
)

// readBudget is what the reader of a connection takes from the Budget, and how long it may wait for that. It belongs to the
// reader.
type readBudget struct {
	Growth     // of the frame that is being read
	host       string
	waited     time.Duration // since windowFrom
	windowFrom time.Time
}

// retry calls try until it returns true, but waits for at most a tenth of the time: heartbeats queue behind the reader.
func (r *readBudget) retry(try func() bool) bool {
	begin := time.Now()
	if begin.Sub(r.windowFrom) >= readWindow {
		r.windowFrom, r.waited = begin, 0
	}
	ok := retryFor(maxReadWait-r.waited, try)
	r.waited += time.Since(begin)
	return ok
}

// grow takes n bytes for the frame.
func (r *readBudget) grow(n int) *FrameError {
	take := func() bool { return r.Take(int64(n)) }
	if take() || r.retry(take) {
		return nil
	}
	r.Done()
	return &FrameError{Reason: code.ReasonOverloaded, Answer: r.share.budget.Refuse(r.host), detail: "no memory is left for it"}
}

func (r *readBudget) tryGrow(n int) bool { return r.share.TakeBytes(int64(n)) }

func (r *readBudget) shrink(n int) { r.share.Give(int64(n)) }

// handOver ends the reading of a frame. It returns the ticket that is to be kept as long as the bytes of the frame, if any.
func (r *readBudget) handOver() (ticket uint64) {
	if r.beyond {
		ticket, r.ticket, r.beyond = r.ticket, 0, false
		return ticket
	}
	r.Done()
	return 0
}
