package wire

import (
	"slices"
	"sync/atomic"
)

const (
	// segmentBytes is how long a segment of the outbox grows. The memory of longer ones is not used again.
	segmentBytes = 256 << 10

	// smallFrame is the longest frame that does not wait in line. The limit for such frames is an eighth higher.
	smallFrame = 1 << 10
)

// backlog bounds what is queued for a peer. It needs the lock of its outbox.
type backlog struct {
	max    int64 // bytes
	size   int64 // bytes queued, being written, and granted to turns
	closed bool  // nothing will be queued any longer
	line   []*turn

	// share is charged for what is queued, and relaxed is called when congested has ended; nil in a Conn.
	share   *Share
	relaxed func()

	// These may be read without the lock.
	waiting   atomic.Bool // something is queued
	congested atomic.Bool // half of max is queued, or the connection's share of the budget: make no more answers now
}

// turn is a place in the line for room.
type turn struct {
	n     int64
	ready chan struct{} // closed when n bytes are granted, or there will be no room
}

// fits reports whether n more bytes may be queued now. A frame that would be alone always fits, and a small one, such as a
// heartbeat, overtakes long ones.
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

// queueUp joins the line: first come, first served, so that a long frame is not starved by short ones.
func (b *backlog) queueUp(n int64) *turn {
	t := &turn{n: n, ready: make(chan struct{})}
	b.line = append(b.line, t)
	return t
}

// admit grants room to the first of the line, as far as there is some.
func (b *backlog) admit() {
	for len(b.line) > 0 && (b.closed || b.hasRoom(b.line[0].n)) {
		t := b.line[0]
		b.line = slices.Delete(b.line, 0, 1)
		b.add(t.n)
		close(t.ready)
	}
}

// leave gives up the room that was granted to t, or its place in the line.
func (b *backlog) leave(t *turn) {
	if i := slices.Index(b.line, t); i >= 0 {
		b.line = slices.Delete(b.line, i, i+1)
	} else {
		b.add(-t.n)
	}
	b.admit()
}
