package wire

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	outboxStep  = 256 << 10 // a long queue is written in such steps, each with a deadline of its own
	outboxEager = 32 << 10  // with so much queued, whoever waits for more to come is overtaken
	outboxKeep  = 256 << 10 // larger buffers are not used again
	roomWait    = time.Second
	tryWait     = 100 * time.Millisecond
)

var (
	errSlowReader = errors.New("the peer does not read what it is sent")
	errSentClosed = errors.New("the connection is closed")
)

var outBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// outbox is the sending side of a connection. Frames are appended to one buffer. Whoever appends to an idle outbox
// writes what is there, and what others append meanwhile, so that many frames go into one write and a lone frame goes
// without any hand-over. It holds no buffer while there is nothing to send.
type outbox struct {
	conn    net.Conn
	timeout time.Duration // for one write
	most    int64         // bytes queued

	// crowded says that half of most is queued: nothing should be made now that will be queued behind it.
	crowded atomic.Bool

	mu       sync.Mutex
	phase    outPhase
	queued   *[]byte
	size     int64 // bytes queued and being written
	err      error
	deadline time.Time     // set on conn; belongs to the flusher
	progress chan struct{} // closed when a flush is over, made by those who wait for it
}

type outPhase byte

const (
	outIdle     outPhase = iota
	outYielding          // someone is about to flush, and lets others append first
	outWriting
)

// append queues f. It tells whether the caller has to flush.
func (o *outbox) append(f *Frame) (flush bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.room(int64(len(f.Payload))); err != nil {
		return false, err
	}
	return o.put(f), nil
}

// put queues f, for which there is room. It tells whether the caller has to flush. It needs o.mu.
func (o *outbox) put(f *Frame) (flush bool) {
	if o.queued == nil {
		o.queued = outBuffers.Get().(*[]byte)
	}
	before := len(*o.queued)
	*o.queued = AppendFrame(*o.queued, f)
	o.size += int64(len(*o.queued) - before)
	if o.size >= o.most/2 {
		o.crowded.Store(true)
	}
	switch {
	case o.phase == outIdle:
		o.phase = outYielding
		return true
	case o.phase == outYielding && len(*o.queued) >= outboxEager:
		return true
	}
	return false
}

// room waits until n more bytes may be queued. It needs o.mu. A full queue says that the peer does not read: it gets a
// moment, and is given up then. A lone frame is never too much.
func (o *outbox) room(n int64) error {
	if o.err != nil || o.size == 0 || o.size+n <= o.most {
		return o.err
	}
	patience := time.NewTimer(roomWait)
	defer patience.Stop()
	for o.err == nil && o.size > 0 && o.size+n > o.most {
		progress := o.waitable()
		o.mu.Unlock()
		select {
		case <-progress:
			o.mu.Lock()
		case <-patience.C:
			o.mu.Lock()
			o.fail(errSlowReader)
		}
	}
	return o.err
}

// uncrowded waits until less than half of most is queued; it fails when the peer is given up before. Without it, a peer
// that sends many requests and reads no answers would have all of the answers made and held.
func (o *outbox) uncrowded() error {
	if !o.crowded.Load() {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && o.size >= o.most/2 {
		progress := o.waitable()
		o.mu.Unlock()
		<-progress
		o.mu.Lock()
	}
	return o.err
}

// waitable needs o.mu.
func (o *outbox) waitable() chan struct{} {
	if o.progress == nil {
		o.progress = make(chan struct{})
	}
	return o.progress
}

// advance tells those who wait that something was written or failed. It needs o.mu.
func (o *outbox) advance() {
	if o.progress != nil {
		close(o.progress)
		o.progress = nil
	}
}

// fail needs o.mu. The first error stays.
func (o *outbox) fail(err error) {
	if o.err == nil {
		o.err = err
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
	for o.err == nil && o.queued != nil {
		o.step(o.timeout)
	}
	o.rest()
	return o.err
}

// try is flush for one who must be held up neither by a peer that takes nothing nor by what others have to send. It
// tells whether something is left for somebody to flush.
func (o *outbox) try() (left bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.phase != outYielding {
		return false, o.err
	}
	o.step(min(tryWait, o.timeout))
	if o.err == nil && o.queued != nil {
		o.phase = outYielding
		return true, nil
	}
	o.rest()
	return false, o.err
}

// step writes what is queued now. What the peer did not take is queued again, when others have more patience. It needs
// o.mu, and lets go of it meanwhile.
func (o *outbox) step(patience time.Duration) {
	if o.queued == nil {
		return
	}
	o.phase = outWriting
	b := o.queued
	o.queued = nil
	o.mu.Unlock()
	n, err := o.write(*b, patience)
	o.mu.Lock()
	o.size -= int64(n)
	o.crowded.Store(o.size >= o.most/2)
	late := err != nil && timedOut(err)
	switch {
	case late && patience < o.timeout:
		o.unread(b, n)
		o.advance()
		return
	case late:
		o.fail(errSlowReader)
	case err != nil:
		o.fail(err)
	}
	keep(b)
	o.advance()
}

// unread queues what is behind the first n bytes of b again, in front of what came since. It needs o.mu.
func (o *outbox) unread(b *[]byte, n int) {
	*b = append((*b)[:0], (*b)[n:]...)
	if o.queued != nil {
		*b = append(*b, *o.queued...)
		keep(o.queued)
	}
	o.queued = b
}

// keep keeps the memory of b for others.
func keep(b *[]byte) {
	if cap(*b) <= outboxKeep {
		*b = (*b)[:0]
		outBuffers.Put(b)
	}
}

// rest ends the work of who flushes. It needs o.mu.
func (o *outbox) rest() {
	o.phase = outIdle
	if o.err != nil {
		o.queued, o.size = nil, 0
	}
	o.advance()
}

func (o *outbox) write(b []byte, patience time.Duration) (n int, err error) {
	for n < len(b) {
		// A new deadline for each write would cost as much as a small call; one that is a little short does not.
		if left := time.Until(o.deadline); left < patience-patience/8 || left > patience {
			o.deadline = time.Now().Add(patience)
			if err := o.conn.SetWriteDeadline(o.deadline); err != nil {
				return n, err
			}
		}
		m, err := o.conn.Write(b[n:min(len(b), n+outboxStep)])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// close makes later appends fail, and those that wait for room.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail(errSentClosed)
}

// settle waits until what is queued has been written, or cannot be.
func (o *outbox) settle() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && o.phase != outIdle {
		progress := o.waitable()
		o.mu.Unlock()
		<-progress
		o.mu.Lock()
	}
}

// idle tells whether all that was queued has been handed to the connection.
func (o *outbox) idle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.phase == outIdle && o.queued == nil
}
