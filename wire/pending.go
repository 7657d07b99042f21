package wire

import (
	"context"
	"encoding/binary"
	"strconv"
	"time"
)

// answer is the response, or the error, that a caller waits for.
type answer struct {
	res *Frame
	err error
	got chan struct{} // has a token when it has arrived

	until time.Time // when the call fails; zero: its caller waits for the end of a context
}

func (a *answer) fail(err error) {
	a.err = err
	a.got <- struct{}{}
}

// pendingCalls holds the calls of a Conn that wait for a response. The mu of its clientTransport guards it.
type pendingCalls struct {
	max   int
	seq   uint64 // of the next request
	bySeq map[uint64]*answer
	free  []*answer
	freed chan struct{} // closed when a call ends; made by a waiter

	expire func()      // called by the timer; calls failExpired
	timer  *time.Timer // made by the first expireAt
	fires  time.Time   // when the timer fires; zero: no call needs it
}

// nextSeq returns the sequence of the next request. It skips HeartbeatSeq.
func (p *pendingCalls) nextSeq() uint64 {
	if p.seq == HeartbeatSeq {
		p.seq = 0
	}
	seq := p.seq
	p.seq++
	return seq
}

// add assigns a sequence to the call. If there are too many calls it returns a channel that is closed when one ends.
func (p *pendingCalls) add(req, res *Frame) (a *answer, freed <-chan struct{}) {
	if len(p.bySeq) >= p.max {
		if p.freed == nil {
			p.freed = make(chan struct{})
		}
		return nil, p.freed
	}
	if n := len(p.free); n > 0 {
		a, p.free = p.free[n-1], p.free[:n-1]
	} else {
		a = &answer{got: make(chan struct{}, 1)}
	}
	a.res, a.err, a.until = res, nil, time.Time{}
	req.Seq = p.nextSeq()
	p.bySeq[req.Seq] = a
	return a, nil
}

// remove removes the call with a sequence and returns its answer; nil if no such call waits.
func (p *pendingCalls) remove(seq uint64) *answer {
	a := p.bySeq[seq]
	if a != nil {
		delete(p.bySeq, seq)
		p.signalFreed()
	}
	return a
}

func (p *pendingCalls) signalFreed() {
	if p.freed != nil {
		close(p.freed)
		p.freed = nil
	}
}

// failAfter fails the calls after the sequence last, or all of them if last is HeartbeatSeq.
func (p *pendingCalls) failAfter(last uint64, err error) {
	for seq, a := range p.bySeq {
		if last == HeartbeatSeq || seq > last {
			delete(p.bySeq, seq)
			a.fail(err)
		}
	}
	p.signalFreed()
}

// expireAt sets the timer to fire at a time, unless it will sooner. It reports whether the timer was not running.
func (p *pendingCalls) expireAt(at time.Time) (started bool) {
	if !p.fires.IsZero() && !at.Before(p.fires) {
		return false
	}
	p.fires = at
	if p.timer == nil {
		p.timer = time.AfterFunc(time.Until(at), p.expire)
		return true
	}
	return !p.timer.Reset(time.Until(at))
}

// failExpired fails the calls whose time is over, and sets the timer for the next one. It reports whether the timer was not
// running.
func (p *pendingCalls) failExpired() (started bool) {
	now := time.Now()
	p.fires = time.Time{}
	for seq, a := range p.bySeq {
		switch {
		case a.until.IsZero():
		case !now.Before(a.until):
			delete(p.bySeq, seq)
			a.fail(ended(context.DeadlineExceeded))
		case p.fires.IsZero() || a.until.Before(p.fires):
			p.fires = a.until
		}
	}
	p.signalFreed()
	return !p.fires.IsZero() && !p.timer.Reset(time.Until(p.fires))
}

// stopTimer reports whether the timer was running.
func (p *pendingCalls) stopTimer() bool { return p.timer != nil && p.timer.Stop() }

func (p *pendingCalls) reuse(a *answer) {
	a.res = nil
	p.free = append(p.free, a)
}

const (
	keptChunk = 64 << 10 // memory that short kept requests share
	askBytes  = 1 << 20  // kept requests beyond this make the Conn ask the server which have begun
)

// oneWays tracks the one-way requests sent on a Conn. The mu of its clientTransport guards it.
type oneWays struct {
	kept unrunRequests

	asked, answered uint64 // heartbeats
	unread          bool   // the last one is not known to have been read
	last            uint64 // its sequence
	changed         chan struct{}
}

// sent records a request.
func (o *oneWays) sent(seq uint64) { o.unread, o.last = true, seq }

// read records that the requests up to a sequence have been read.
func (o *oneWays) read(seq uint64) {
	o.unread = o.unread && o.last > seq
}

// unconfirmed reports whether a request is not known to have been read or, once the server drains, to run.
func (o *oneWays) unconfirmed(draining bool) bool { return o.unread || draining && !o.kept.empty() }

// heartbeat records the answer to a heartbeat, and the last request that began to run, if the server reports it.
func (o *oneWays) heartbeat(m Metadata) {
	if o.answered == o.asked {
		return
	}
	o.answered++
	if begun, err := strconv.ParseUint(m.Get(MetaBegun), 10, 64); err == nil {
		o.kept.run(begun)
	}
	o.notify()
}

// changes returns a channel that is closed by the next answer to a heartbeat, or when requests are known to have been read.
func (o *oneWays) changes() <-chan struct{} {
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	return o.changed
}

func (o *oneWays) notify() {
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
}

// unrunRequests keeps the one-way requests that the server may not have begun to run, so that they can be sent elsewhere.
type unrunRequests struct {
	max     int64 // bytes; beyond that the oldest are dropped
	list    []keptRequest
	begin   int // of list
	bytes   int64
	chunk   []byte
	dropped struct {
		n    int
		last uint64
	}
}

// keptRequest is a one-way request that was sent.
type keptRequest struct {
	seq   uint64
	until time.Time // its deadline; zero: none
	frame []byte
}

// keepable returns the copy of f to keep, without its sequence. A short f is copied later by add, which holds locks.
func keepable(f *Frame) (k keptRequest) {
	if f.size() > keptChunk/4 {
		k.frame = AppendFrame(make([]byte, 0, f.size()), f)
	}
	k.until, _ = CallerDeadline(time.Now(), f.Metadata)
	return k
}

// add keeps f. k is the result of keepable.
func (u *unrunRequests) add(f *Frame, k keptRequest) {
	if k.seq = f.Seq; k.frame != nil {
		binary.BigEndian.PutUint64(k.frame[4:], f.Seq)
	} else {
		k.frame = u.small(f)
	}
	u.bytes += int64(len(k.frame))
	for u.begin < len(u.list) && u.bytes > u.max {
		u.dropped.n++
		u.dropped.last = u.list[u.begin].seq
		u.skip()
	}
	if u.begin > len(u.list)/2 {
		n := copy(u.list, u.list[u.begin:])
		clear(u.list[n:])
		u.list, u.begin = u.list[:n], 0
	}
	u.list = append(u.list, k)
}

// small copies f to a chunk that small requests share.
func (u *unrunRequests) small(f *Frame) []byte {
	begin := len(u.chunk)
	if int64(cap(u.chunk)-begin) < f.size() {
		u.chunk, begin = make([]byte, 0, keptChunk), 0
	}
	u.chunk = AppendFrame(u.chunk, f)
	return u.chunk[begin:len(u.chunk):len(u.chunk)]
}

// skip removes the first request.
func (u *unrunRequests) skip() {
	k := &u.list[u.begin]
	u.bytes -= int64(len(k.frame))
	*k = keptRequest{}
	u.begin++
}

// run removes the requests up to the sequence last, once they have begun to run.
func (u *unrunRequests) run(last uint64) {
	for u.begin < len(u.list) && u.list[u.begin].seq <= last {
		u.skip()
	}
	if u.dropped.last <= last {
		u.dropped.n = 0
	}
	if u.empty() {
		u.list, u.begin, u.chunk = u.list[:0], 0, u.chunk[:0]
	}
}

func (u *unrunRequests) empty() bool { return u.begin == len(u.list) }

// after returns the requests after the sequence last, or all of them if last is HeartbeatSeq, and the number of those that
// were dropped. __ServerTimeout is set to the time left.
func (u *unrunRequests) after(last uint64) (all []*Frame, dropped int) {
	if last != HeartbeatSeq {
		u.run(last)
	}
	now := time.Now()
	lim := Limits{MaxMessageBytes: maxPayload, MaxMetadataBytes: maxPayload, MaxMetadataPairs: maxPayload, MaxNameBytes: maxPayload}
	for _, k := range u.list[u.begin:] {
		f, _, err := ParseFrame(k.frame, lim)
		if err != nil {
			continue // cannot happen: AppendFrame made it
		}
		if !k.until.IsZero() {
			f.Metadata.Set(MetaTimeout, strconv.FormatInt(max(k.until.Sub(now).Milliseconds(), 0), 10))
		}
		all = append(all, &f)
	}
	dropped = u.dropped.n
	*u = unrunRequests{max: u.max}
	return all, dropped
}
