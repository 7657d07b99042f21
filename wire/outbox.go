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
	eagerBytes     = 32 << 10 // with this much queued, a frame is flushed without waiting for a yielding goroutine
	tlsRecordBytes = 16 << 10
	directWait     = 20 * time.Millisecond // time that a caller may block in its own write
)

var (
	errSlowReader  = errors.New("the peer does not read what is sent to it")
	errWriteClosed = errors.New("the connection is closed")
)

func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// outbox is the sending side of a connection. Frames are appended to segments. The goroutine that appends to an idle outbox
// writes them, together with what others append meanwhile: many frames share a write, and a single one needs no other
// goroutine. An idle outbox holds no memory.
type outbox struct {
	conn    net.Conn
	timeout time.Duration // time without progress after which a write fails
	fragile bool          // a write that times out breaks the connection, as with TLS
	taken   atomic.Int64  // bytes written

	mu       sync.Mutex
	phase    outPhase
	queue    segments
	backlog  backlog
	err      error
	deadline time.Time // as set on conn; belongs to the flusher
	progress event     // something was written or failed
}

type outPhase byte

const (
	outIdle     outPhase = iota
	outYielding          // a goroutine is about to flush, and lets others append first
	outWriting
)

func (o *outbox) init(conn net.Conn, lim *Limits) {
	o.conn, o.timeout, o.backlog.max = conn, lim.WriteTimeout, 4*int64(lim.MaxMessageBytes)
	_, o.fragile = conn.(interface{ Handshake() error }) // *tls.Conn
}

// append queues f once there is room for it. It reports whether the caller has to flush.
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

// leave releases t, unless it is nil.
func (o *outbox) leave(t *turn) {
	if t != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.backlog.leave(t)
	}
}

// put queues f even without room. It reports whether the caller has to flush. It needs o.mu.
func (o *outbox) put(f *Frame) (flush bool) {
	if o.err != nil {
		return false
	}
	o.backlog.add(o.queue.append(f))
	switch {
	case o.phase == outIdle:
		o.phase = outYielding
		return true
	case o.phase == outYielding && o.backlog.size >= eagerBytes:
		return true
	}
	return false
}

// untaken returns the number of bytes queued, and of those written so far.
func (o *outbox) untaken() (waiting, taken int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.backlog.size, o.taken.Load()
}

// advance wakes waiters after something was written or failed. It needs o.mu.
func (o *outbox) advance() {
	o.backlog.admit()
	o.progress.fire()
}

// fail makes all further appends fail with the first error. It needs o.mu.
func (o *outbox) fail(err error) {
	if o.err == nil {
		o.err, o.backlog.closed = err, true
	}
	o.advance()
}

// flush writes until nothing is queued. With yield it lets other goroutines append first, which pays when they are about to.
func (o *outbox) flush(yield bool) error {
	if yield {
		runtime.Gosched()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.phase != outYielding {
		return o.err // another goroutine has flushed
	}
	for o.err == nil && o.queue.first != nil {
		o.writeQueued(0)
	}
	o.finish()
	return o.err
}

// flushOnce writes at most one segment, for at most limit, so that neither the peer nor other senders delay the caller
// further. It reports whether something is left to flush.
func (o *outbox) flushOnce(limit time.Duration) (left bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.phase != outYielding {
		return false, o.err
	}
	if o.err == nil && o.queue.first != nil {
		o.writeQueued(limit)
	}
	if o.err == nil && o.queue.first != nil {
		o.phase = outYielding
		return true, nil
	}
	o.finish()
	return false, o.err
}

// writeQueued writes the first segment. With a limit it requeues what could not be written within it; without one it fails
// after the timeout without progress. It needs o.mu, and unlocks it for the write.
func (o *outbox) writeQueued(limit time.Duration) {
	o.phase = outWriting
	s := o.queue.take()
	o.mu.Unlock()
	var n int
	var err error
	if limit > 0 {
		n, err = o.offer(s.b, limit)
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

// finish ends a flush. It needs o.mu.
func (o *outbox) finish() {
	o.phase = outIdle
	if o.err != nil {
		o.backlog.add(-o.queue.drop())
	}
	o.advance()
}

// write writes b. It fails with errSlowReader when nothing could be written for the timeout. With TLS only whole records
// count as progress.
func (o *outbox) write(b []byte) (n int, err error) {
	step, look := segmentBytes, o.timeout/20
	if o.fragile {
		step, look = tlsRecordBytes, o.timeout
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

// offer writes as much of b as it can within limit.
func (o *outbox) offer(b []byte, limit time.Duration) (n int, err error) {
	if err := o.allow(time.Now(), limit); err != nil {
		return 0, err
	}
	n, err = o.conn.Write(b[:min(len(b), segmentBytes)])
	o.taken.Add(int64(n))
	if err != nil && timedOut(err) {
		return n, nil
	}
	return n, err
}

// allow sets the write deadline to about d, with TLS at least d, unless the current one will do: a new deadline for each
// write would cost as much as a small call.
func (o *outbox) allow(now time.Time, d time.Duration) error {
	minimum := d / 4
	if o.fragile {
		minimum = d
	}
	if left := o.deadline.Sub(now); left >= minimum && left <= d+d/8 {
		return nil
	}
	o.deadline = now.Add(d + d/8)
	return o.conn.SetWriteDeadline(o.deadline)
}

// close makes all appends fail, including those that wait for room.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail(errWriteClosed)
}

// settle waits until the queue has been written or has failed, or ctx ends.
func (o *outbox) settle(ctx context.Context) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && o.phase != outIdle {
		progress := o.progress.next()
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

// idle reports whether everything queued has been written.
func (o *outbox) idle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.phase == outIdle && o.queue.first == nil
}

// segment holds whole frames to be written.
type segment struct {
	b    []byte
	next *segment
}

var segmentPool = sync.Pool{New: func() any { return &segment{b: make([]byte, 0, 4<<10)} }}

// free returns s to its pool.
func (s *segment) free() {
	if cap(s.b) <= segmentBytes {
		s.b, s.next = s.b[:0], nil
		segmentPool.Put(s)
	}
}

// segments is a queue of segments.
type segments struct{ first, last *segment }

// append appends a frame and returns its length. A long one starts a new segment, so that little is copied when memory
// grows, and written memory is freed soon.
func (q *segments) append(f *Frame) int64 {
	s := q.last
	if s == nil || len(s.b)+len(f.Payload) > segmentBytes {
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

// take removes the first segment.
func (q *segments) take() *segment {
	s := q.first
	if q.first = s.next; q.first == nil {
		q.last = nil
	}
	s.next = nil
	return s
}

// putBack requeues s at the front, without its first n bytes.
func (q *segments) putBack(s *segment, n int) {
	s.b = append(s.b[:0], s.b[n:]...)
	if s.next = q.first; s.next == nil {
		q.last = s
	}
	q.first = s
}

// drop removes all segments, and returns their length.
func (q *segments) drop() (n int64) {
	for s := q.first; s != nil; s = s.next {
		n += int64(len(s.b))
	}
	*q = segments{}
	return n
}

// event wakes those that wait for it. It needs a lock.
type event struct{ happened chan struct{} }

// next returns a channel that fire closes.
func (e *event) next() <-chan struct{} {
	if e.happened == nil {
		e.happened = make(chan struct{})
	}
	return e.happened
}

func (e *event) fire() {
	if e.happened != nil {
		close(e.happened)
		e.happened = nil
	}
}
