package wire

import (
	"sync"
	"time"
)

// minCompress is the length below which replies are not compressed.
const minCompress = 1 << 10

// task is a request in a server, from reading to answering it. Tasks and their frames are pooled.
type task struct {
	req, res Frame
	plain    []byte // memory for the decompressed request or the compressed response
	arrived  time.Time
	used     Compression // original compression of the request
	held     int64       // bytes charged to the budget
	ticket   uint64      // in the budget's growthQueue, if its bytes exceed the limit; else 0
	counted  bool        // it counts as a call in the budget
	call     serverCall
	begun    bool // call is in use

	// The connection may use these while the handler has the frames.
	reserved   Reservation // for the answer
	seq        uint64
	oneWay     bool
	parked     bool
	inline     bool  // the reader runs it
	flushLater bool  // the reader flushes the answer, when it has read more
	cancelled  bool  // before it began
	refused    bool  // the budget has no room for its answer
	prev, next *task // in flight
}

var tasks = sync.Pool{New: func() any { return new(task) }}

// size returns the memory of t that its peer determines.
func (t *task) size() int64 { return int64(cap(t.req.Payload) + t.req.Metadata.size()) }

// shrink frees memory kept from longer requests, and returns the new size.
func (t *task) shrink() int64 {
	if cap(t.req.Payload) > 2*len(t.req.Payload) {
		t.req.Payload = append([]byte(nil), t.req.Payload...)
	}
	return t.size()
}

// charge takes a call and the size of t from the budget, and reports whether it could.
func (t *task) charge(s *Share) bool {
	if !s.AcquireCall() {
		return false
	}
	t.counted = true
	if s.budget.Short() {
		t.shrink() // pooled memory may be larger than t needs
	}
	more := t.size() - t.held
	if more > 0 && !s.AcquireBytes(more) {
		if more = t.shrink() - t.held; more > 0 && !s.AcquireBytes(more) {
			t.uncharge(s)
			return false
		}
	}
	t.held += max(more, 0)
	return true
}

// returnSpare frees memory kept from longer requests, and returns it to the budget.
func (t *task) returnSpare(s *Share) {
	if spare := t.held - t.shrink(); spare > 0 {
		s.ReleaseBytes(spare)
		t.held -= spare
	}
}

// uncharge returns the call to the budget. The bytes stay charged until t is released.
func (t *task) uncharge(s *Share) {
	s.releaseUnrunCall()
	t.counted = false
}

// abandoned reports whether the caller no longer waits for the answer.
func (t *task) abandoned() bool {
	deadline, ok := CallerDeadline(t.arrived, t.req.Metadata)
	return t.cancelled || ok && !time.Now().Before(deadline)
}

// shrinkAnswer frees the memory of an answer that has been queued, unless it is small enough to be reused.
func (t *task) shrinkAnswer() {
	if cap(t.res.Payload) > keepPayload {
		t.res.Payload = nil
	}
	if cap(t.plain) > keepPayload {
		t.plain = nil
	}
}

// compress compresses the reply if the peer accepts it and the reply gets shorter.
func (t *task) compress() {
	if len(t.res.Payload) < minCompress {
		return
	}
	with := t.used
	if with == Zstd {
		with = NoCompression
	}
	if accepts(t.req.Metadata.Get(MetaAcceptCompression), Zstd) {
		with = Zstd
	}
	if with == NoCompression {
		return
	}
	small, err := AppendCompressed(t.plain[:0], with, t.res.Payload)
	if err != nil || len(small) >= len(t.res.Payload) {
		return
	}
	t.plain, t.res.Payload = t.res.Payload, small
	t.res.Compression = with
}

// release returns to the budget what t holds, and t to its pool.
func (t *task) release(s *Share) {
	t.reserved.Release()
	if t.held > 0 {
		s.ReleaseBytes(t.held)
	}
	if t.ticket != 0 {
		s.budget.growths.leave(t.ticket)
	}
	switch {
	case t.counted && t.begun && !t.refused:
		s.ReleaseCall()
	case t.counted:
		s.releaseUnrunCall()
	}
	t.recycle()
}

// recycle returns t to its pool, without large buffers.
func (t *task) recycle() {
	t.req.Reset()
	t.res.Reset()
	plain := t.plain[:0]
	if cap(plain) > keepPayload {
		plain = nil
	}
	t.call.reset()
	t.call.out, t.call.service, t.call.method = nil, "", ""
	t.plain, t.used, t.held, t.ticket, t.counted, t.begun = plain, 0, 0, 0, false, false
	t.reserved, t.parked, t.inline, t.flushLater, t.cancelled, t.refused = Reservation{}, false, false, false, false, false
	tasks.Put(t)
}
