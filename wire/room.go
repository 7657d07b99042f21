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

// room is what the reader of a connection gets of the budget, and how long it may wait for it. It belongs to the reader.
type room struct {
	share      *Share
	host       string
	waited     time.Duration // since waitedFrom
	waitedFrom time.Time

	place  uint64 // of the frame that is being read, in the budget's line; 0 when it is in none
	beyond bool   // it has got bytes that were not there, as the first of the line
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

// grow takes n bytes for a frame that is being read. Of the frames for which there is not enough the oldest gets them all
// the same, so that not all are stuck halfway. It keeps its place until they are given back: no other gets such bytes before.
func (r *room) grow(n int) *FrameError {
	if r.take(n) || r.soon(func() bool { return r.take(n) }) {
		return nil
	}
	r.leave()
	return &FrameError{Reason: code.ReasonOverloaded, Answer: r.share.budget.Refuse(r.host), detail: "there is no memory for it"}
}

func (r *room) take(n int) bool {
	if r.share.TakeBytes(int64(n)) {
		return true
	}
	b := r.share.budget
	if r.place == 0 {
		r.place = b.queueUp()
	}
	if !b.isFirst(r.place) {
		return false
	}
	r.share.add(int64(n))
	r.beyond = true
	return true
}

func (r *room) tryGrow(n int) bool { return r.share.TakeBytes(int64(n)) }

func (r *room) shrink(n int) { r.share.Give(int64(n)) }

// handOver ends the reading of a frame. Its place is returned when it is to be left with the bytes of the frame.
func (r *room) handOver() (place uint64) {
	if r.beyond {
		place, r.place, r.beyond = r.place, 0, false
		return place
	}
	r.leave()
	return 0
}

func (r *room) leave() {
	if r.place != 0 {
		r.share.budget.leave(r.place)
		r.place, r.beyond = 0, false
	}
}
