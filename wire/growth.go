package wire

import (
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

const (
	mostWait   = 100 * time.Millisecond // of each waitWindow a connection is left unread for want of room
	waitWindow = time.Second
	waitStep   = 10 * time.Millisecond
)

// soon repeats try until it succeeds, for most at the longest.
func soon(most time.Duration, try func() bool) bool {
	for ; most > 0; most -= waitStep {
		time.Sleep(waitStep)
		if try() {
			return true
		}
	}
	return false
}

// Growth takes the bytes of one message that is being read, as more of it comes. Of the messages for which a Budget has not
// enough the oldest gets them all the same, so that not all are stuck halfway; no other does before it is Done. A Growth
// belongs to one goroutine.
type Growth struct {
	share  *Share
	place  uint64 // in the budget's line; 0 when it is in none
	beyond bool   // it has got bytes that were not there, as the first of the line
}

// NewGrowth returns the Growth of a message that comes over the connection of s.
func NewGrowth(s *Share) Growth { return Growth{share: s} }

// Take takes n bytes, and reports whether it could. They are given back to the Share.
func (g *Growth) Take(n int64) bool {
	if g.share.TakeBytes(n) {
		return true
	}
	b := g.share.budget
	if g.place == 0 {
		g.place = b.queueUp()
	}
	if !b.isFirst(g.place) {
		return false
	}
	g.share.add(n)
	g.beyond = true
	return true
}

// Read says that the message has been read, or will not be.
func (g *Growth) Read() {
	if !g.beyond {
		g.Done()
	}
}

// Done says that the bytes have been given back.
func (g *Growth) Done() {
	if g.place != 0 {
		g.share.budget.leave(g.place)
		g.place, g.beyond = 0, false
	}
}

// room is what the reader of a connection gets of the budget, and how long it may wait for it. It belongs to the reader.
type room struct {
	Growth     // of the frame that is being read
	host       string
	waited     time.Duration // since waitedFrom
	waitedFrom time.Time
}

// soon repeats try until it succeeds, but waits no more than for a tenth of the time: heartbeats wait behind the reader.
func (r *room) soon(try func() bool) bool {
	begin := time.Now()
	if begin.Sub(r.waitedFrom) >= waitWindow {
		r.waitedFrom, r.waited = begin, 0
	}
	ok := soon(mostWait-r.waited, try)
	r.waited += time.Since(begin)
	return ok
}

// grow takes n bytes for the frame.
func (r *room) grow(n int) *FrameError {
	take := func() bool { return r.Take(int64(n)) }
	if take() || r.soon(take) {
		return nil
	}
	r.Done()
	return &FrameError{Reason: code.ReasonOverloaded, Answer: r.share.budget.Refuse(r.host), detail: "there is no memory for it"}
}

func (r *room) tryGrow(n int) bool { return r.share.TakeBytes(int64(n)) }

func (r *room) shrink(n int) { r.share.Give(int64(n)) }

// handOver ends the reading of a frame. Its place is returned when it is to be left with the bytes of the frame.
func (r *room) handOver() (place uint64) {
	if r.beyond {
		place, r.place, r.beyond = r.place, 0, false
		return place
	}
	r.Done()
	return 0
}
