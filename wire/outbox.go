package wire

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	outboxStep  = 256 << 10 // how much is written at once, and how long a segment grows
	outboxEager = 32 << 10  // with so much queued, whoever waits for more to come is overtaken
	tlsRecord   = 16 << 10  // how much TLS writes at once
	tryWait     = 20 * time.Millisecond
)

var (
	errSlowReader = errors.New("the peer takes nothing of what it is sent")
	errSentClosed = errors.New("the connection is closed")
)

// outbox is the sending side of a connection. Frames are appended to segments. Whoever appends to an idle outbox writes
// what is there, and what others append meanwhile, so that many frames go into one write and a lone frame goes without
// any hand-over. It holds no memory while there is nothing to send.
type outbox struct {
	conn    net.Conn
	timeout time.Duration // without a byte taken, until the peer is given up
	fragile bool          // a write that times out breaks the connection, as it does with TLS
	taken   atomic.Int64  // bytes that the peer has taken

	mu       sync.Mutex
	phase    outPhase
	queue    segments
	backlog  backlog
	err      error
	deadline time.Time     // set on conn; belongs to the flusher
	progress chan struct{} // closed when something was written or failed, made by those who wait for it
}

type outPhase byte

const (
	outIdle     outPhase = iota
	outYielding          // someone is about to flush, and lets others append first
	outWriting
)

// init is called before the outbox is used.
func (o *outbox) init(conn net.Conn, lim *Limits) {
	o.conn, o.timeout, o.backlog.most = conn, lim.WriteTimeout, 4*int64(lim.MaxMessageBytes)
	_, o.fragile = conn.(interface{ Handshake() error }) // *tls.Conn
}

// append queues f, and waits until there is room for it. It reports whether the caller has to flush.
func (o *outbox) append(f *Frame) (flush bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := f.size()
	if o.err != nil || o.backlog.fits(n) {
		return o.put(f), o.err
	}
	t := o.backlog.queueUp(n)
	o.mu.Unlock()
	<-t.ready
	o.mu.Lock()
	flush = o.put(f)
	o.backlog.leave(t)
	return flush, o.err
}

// renounce leaves the line, if t is a place there.
func (o *outbox) renounce(t *turn) {
	if t != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.backlog.leave(t)
	}
}

// put queues f, whether there is room for it or not. It reports whether the caller has to flush. It needs o.mu.
func (o *outbox) put(f *Frame) (flush bool) {
	if o.err != nil {
		return false
	}
	o.backlog.add(o.queue.append(f))
	switch {
	case o.phase == outIdle:
		o.phase = outYielding
		return true
	case o.phase == outYielding && o.backlog.size >= outboxEager:
		return true
	}
	return false
}

// untaken returns what waits for the peer, and what it has taken.
func (o *outbox) untaken() (waiting, taken int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.backlog.size, o.taken.Load()
}

// waitable needs o.mu.
func (o *outbox) waitable() chan struct{} {
	if o.progress == nil {
		o.progress = make(chan struct{})
	}
	return o.progress
}

// advance wakes those who wait for something to be written or to fail. It needs o.mu.
func (o *outbox) advance() {
	o.backlog.admit()
	if o.progress != nil {
		close(o.progress)
		o.progress = nil
	}
}

// fail needs o.mu. The first error stays.
func (o *outbox) fail(err error) {
	if o.err == nil {
		o.err, o.backlog.over = err, true
	}
	o.advance()
}

// flush writes what is queued, until nothing is. With yield others may append first: that is worth it when they have
// something to send soon.
func (o *outbox) flush(yield bool) error {
	if yield {
		runtime.Gosched()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.phase != outYielding {
		return o.err // overtaken
	}
	for o.err == nil && o.queue.first != nil {
		o.step(0)
	}
	o.rest()
	return o.err
}

// try is flush for one who must be held up neither by a peer that takes nothing, for longer than patience, nor by what
// others have to send. It reports whether something is left for somebody to flush.
func (o *outbox) try(patience time.Duration) (left bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.phase != outYielding {
		return false, o.err
	}
	if o.err == nil && o.queue.first != nil {
		o.step(patience)
	}
	if o.err == nil && o.queue.first != nil {
		o.phase = outYielding
		return true, nil
	}
	o.rest()
	return false, o.err
}

// step writes the first segment, or as much of it as the peer takes within patience: what is left is queued again. Without
// a patience the peer is given up when it takes nothing. It needs o.mu, and lets go of it meanwhile.
func (o *outbox) step(patience time.Duration) {
	o.phase = outWriting
	s := o.queue.take()
	o.mu.Unlock()
	var n int
	var err error
	if patience > 0 {
		n, err = o.offer(s.b, patience)
	} else {
		n, err = o.write(s.b)
	}
	o.mu.Lock()
	if err == nil && n < len(s.b) {
		o.queue.putBack(s, n)
	} else {
		n = len(s.b)
		s.free()
	}
	o.backlog.add(-int64(n))
	if err != nil {
		o.fail(err)
	}
	o.advance()
}

// rest ends the work of who flushes. It needs o.mu.
func (o *outbox) rest() {
	o.phase = outIdle
	if o.err != nil {
		o.backlog.add(-o.queue.drop())
	}
	o.advance()
}

// write writes b. It fails with errSlowReader when the peer has taken no byte of it for the timeout: one that takes few
// is slow, but alive. With TLS the least that can be seen to be taken is a record.
func (o *outbox) write(b []byte) (n int, err error) {
	step, look := outboxStep, o.timeout/20
	if o.fragile {
		step, look = tlsRecord, o.timeout
	}
	now := time.Now()
	for last := now; ; now = time.Now() {
		if err := o.allow(now, min(look, o.timeout-now.Sub(last))); err != nil {
			return n, err
		}
		m, err := o.conn.Write(b[n:min(len(b), n+step)])
		n += m
		o.taken.Add(int64(m))
		switch {
		case n == len(b):
			return n, nil
		case err != nil && !timedOut(err):
			return n, err
		case m > 0 && (err == nil || !o.fragile):
			last = time.Now()
		case o.fragile || time.Since(last) >= o.timeout:
			return n, errSlowReader
		}
	}
}

// offer writes what of b the peer takes within patience.
func (o *outbox) offer(b []byte, patience time.Duration) (n int, err error) {
	if err := o.allow(time.Now(), patience); err != nil {
		return 0, err
	}
	n, err = o.conn.Write(b[:min(len(b), outboxStep)])
	o.taken.Add(int64(n))
	if err != nil && timedOut(err) {
		return n, nil
	}
	return n, err
}

// allow gives the next write about d: a new deadline for each would cost as much as a small call. With TLS it is no less.
func (o *outbox) allow(now time.Time, d time.Duration) error {
	least := d / 4
	if o.fragile {
		least = d
	}
	if left := o.deadline.Sub(now); left >= least && left <= d+d/8 {
		return nil
	}
	o.deadline = now.Add(d + d/8)
	return o.conn.SetWriteDeadline(o.deadline)
}

// close makes later appends fail, and those that wait for room.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail(errSentClosed)
}

// settle waits until what is queued has been written, cannot be, or ctx has ended.
func (o *outbox) settle(ctx context.Context) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && o.phase != outIdle {
		progress := o.waitable()
		o.mu.Unlock()
		select {
		case <-progress:
			o.mu.Lock()
		case <-ctx.Done():
			o.mu.Lock()
			return
		}
	}
}

// idle reports whether all that was queued has been handed to the connection.
func (o *outbox) idle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.phase == outIdle && o.queue.first == nil
}

// segmentKeep is the largest segment whose memory is used again.
const segmentKeep = outboxStep

// segment is bytes to be written. A frame is never in two of them.
type segment struct {
	b    []byte
	next *segment
}

var segmentPool = sync.Pool{New: func() any { return &segment{b: make([]byte, 0, 4<<10)} }}

// free keeps the memory of s for others.
func (s *segment) free() {
	if cap(s.b) <= segmentKeep {
		s.b, s.next = s.b[:0], nil
		segmentPool.Put(s)
	}
}

// segments is a queue of them.
type segments struct{ first, last *segment }

// append appends a frame, and returns its length. What is long gets a segment of its own, so that nothing long is moved
// when the memory grows, and what was written is given back soon.
func (q *segments) append(f *Frame) int64 {
	s := q.last
	if s == nil || len(s.b)+len(f.Payload) > outboxStep {
		s = segmentPool.Get().(*segment)
		if q.last == nil {
			q.first = s
		} else {
			q.last.next = s
		}
		q.last = s
	}
	before := len(s.b)
	s.b = AppendFrame(s.b, f)
	return int64(len(s.b) - before)
}

// take takes the first segment out.
func (q *segments) take() *segment {
	s := q.first
	if q.first = s.next; q.first == nil {
		q.last = nil
	}
	s.next = nil
	return s
}

// putBack puts what is behind the first n bytes of s in front again.
func (q *segments) putBack(s *segment, n int) {
	s.b = append(s.b[:0], s.b[n:]...)
	if s.next = q.first; s.next == nil {
		q.last = s
	}
	q.first = s
}

// drop forgets all of them, and returns how many bytes they had.
func (q *segments) drop() (n int64) {
	for s := q.first; s != nil; s = s.next {
		n += int64(len(s.b))
	}
	*q = segments{}
	return n
}
