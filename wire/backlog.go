package wire

import (
	"slices"
	"sync/atomic"
)

const (
	// segmentBytes is the maximum length of a segment that is reused.
	segmentBytes = 256 << 10

	// smallFrame is the length up to which a frame does not wait behind others. Such frames may exceed the limit by an
	// eighth.
	smallFrame = 1 << 10
)

// backlog limits what is queued for a peer. The outbox's mu guards it.
type backlog struct {
	max    int64 // bytes
	size   int64 // bytes queued, being written, and granted to turns
	closed bool  // nothing more is queued
	line   []*turn

	// share is charged for what is queued, and relaxed is called when congested has ended; nil in a Conn.
	share   *Share
	relaxed func()

	// May be read without the lock.
	waiting   atomic.Bool // something is queued
	congested atomic.Bool // half of max, or the connection's share of the budget, is queued: no more calls should begin
}

// turn is a frame that waits for room.
type turn struct {
	n     int64
	ready chan struct{} // closed when n bytes are granted, or the backlog is closed
}

// fits reports whether n more bytes may be queued now. The only frame always fits, and a small one, such as a heartbeat, may
// overtake those that wait.
func (b *backlog) fits(n int64) bool {
	if n <= smallFrame && b.size+n <= b.max+b.max/8 {
		return true
	}
	return len(b.line) == 0 && b.hasRoom(n)
}

func (b *backlog) hasRoom(n int64) bool { return b.size == 0 || b.size+n <= b.max }

func (b *backlog) add(n int64) {
	b.size += n
	if b.share != nil {
		b.share.add(n)
	}
	if waiting := b.size > 0; waiting != b.waiting.Load() {
		b.waiting.Store(waiting)
	}
	congested := b.isCongested()
	if b.congested.Load() == congested {
		return
	}
	b.congested.Store(congested)
	if !congested && b.relaxed != nil {
		b.relaxed()
	}
}

func (b *backlog) isCongested() bool {
	return b.size >= b.max/2 || b.share != nil && b.size > segmentBytes && b.share.exhausted()
}

// queueUp waits in FIFO order, so that short frames do not starve a long one.
func (b *backlog) queueUp(n int64) *turn {
	t := &turn{n: n, ready: make(chan struct{})}
	b.line = append(b.line, t)
	return t
}

// admit grants room in the order of the line, as far as there is room.
func (b *backlog) admit() {
	for len(b.line) > 0 && (b.closed || b.hasRoom(b.line[0].n)) {
		t := b.line[0]
		b.line = slices.Delete(b.line, 0, 1)
		b.add(t.n)
		close(t.ready)
	}
}

// leave releases the room granted to t, or removes t from the line.
func (b *backlog) leave(t *turn) {
	if i := slices.Index(b.line, t); i >= 0 {
		b.line = slices.Delete(b.line, i, i+1)
	} else {
		b.add(-t.n)
	}
	b.admit()
}
