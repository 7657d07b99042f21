package wire

import (
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// Growth takes the bytes of one message from a Budget as they are read. When the Budget is exhausted, the oldest half-read
// message, and no other, may exceed it, so that not all get stuck halfway. A Growth is not safe for concurrent use.
type Growth struct {
	share  *Share
	ticket uint64 // in the budget's growthQueue; 0: not queued
	beyond bool   // it has exceeded the limit, as the first of the queue
}

// NewGrowth returns the Growth of a message that is read from the connection of s.
func NewGrowth(s *Share) Growth { return Growth{share: s} }

// Acquire takes n bytes from the Share, and reports whether it could. Return them with Share.ReleaseBytes.
func (g *Growth) Acquire(n int64) bool {
	if g.share.AcquireBytes(n) {
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

// Read must be called when the message has been read, or reading it has failed.
func (g *Growth) Read() {
	if !g.beyond {
		g.Done()
	}
}

// Done must be called when the bytes have been returned.
func (g *Growth) Done() {
	if g.ticket != 0 {
		g.share.budget.growths.leave(g.ticket)
		g.ticket, g.beyond = 0, false
	}
}

const (
	maxReadWait = retryLimit // total time that a reader waits for bytes in each readWindow
	readWindow  = time.Second
)

// readBudget takes bytes from the Budget for the reader of a connection, and limits how long the reader waits for them.
type readBudget struct {
	Growth     // of the frame that is being read
	host       string
	waited     time.Duration // since windowFrom began
	windowFrom time.Time
}

// retry calls try until it returns true. It waits for at most a tenth of the time, since heartbeats queue behind the reader.
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
	take := func() bool { return r.Acquire(int64(n)) }
	if take() || r.retry(take) {
		return nil
	}
	r.Done()
	return &FrameError{Reason: code.ReasonOverloaded, Answer: r.share.budget.Refuse(r.host), detail: "no memory is left for it"}
}

func (r *readBudget) tryGrow(n int) bool { return r.share.AcquireBytes(int64(n)) }

func (r *readBudget) shrink(n int) { r.share.ReleaseBytes(int64(n)) }

// handOver is called when a frame has been read. The ticket it returns, unless 0, leaves the queue with the bytes of the
// frame.
func (r *readBudget) handOver() (ticket uint64) {
	if r.beyond {
		ticket, r.ticket, r.beyond = r.ticket, 0, false
		return ticket
	}
	r.Done()
	return 0
}
