package wire

import (
	"slices"
	"sync/atomic"
)

// smallFrame is how long a frame may be that needs not wait in line. The room for such is larger by an eighth.
const smallFrame = 1 << 10

// backlog bounds what is queued for a peer. The lock of its outbox guards it.
type backlog struct {
	most int64 // bytes
	size int64 // bytes queued, being written, and granted to turns
	over bool  // nothing will be queued any longer
	line []*turn

	// share is charged for what is queued, and uncrowded is called when crowded has ended; nil for callers.
	share     *Share
	uncrowded func()

	// waiting says that something is queued, for those who may not wait for the lock.
	waiting atomic.Bool

	// crowded says that half of most is queued, or the connection's share of the budget: nothing should be made now that
	// will be queued behind it.
	crowded atomic.Bool
}

// turn is a place in the line for room.
type turn struct {
	n     int64
	ready chan struct{} // closed when room for n bytes has been taken for it, or there will be none
}

// fits reports whether n more bytes may be queued now. A lone frame is never too much, and a small one, such as a
// heartbeat, does not wait behind long ones.
func (b *backlog) fits(n int64) bool {
	if n <= smallFrame && b.size+n <= b.most+b.most/8 {
		return true
	}
	return len(b.line) == 0 && b.hasRoom(n)
}

func (b *backlog) hasRoom(n int64) bool { return b.size == 0 || b.size+n <= b.most }

func (b *backlog) add(n int64) {
	b.size += n
	if b.share != nil {
		b.share.add(n)
	}
	if waiting := b.size > 0; waiting != b.waiting.Load() {
		b.waiting.Store(waiting)
	}
	crowded := b.isCrowded()
	if b.crowded.Load() == crowded {
		return
	}
	b.crowded.Store(crowded)
	if !crowded && b.uncrowded != nil {
		b.uncrowded()
	}
}

func (b *backlog) isCrowded() bool {
	return b.size >= b.most/2 || b.share != nil && b.size > segmentKeep && b.share.crowded()
}

// queueUp gets into the line: first come, first served, so that a long frame gets its turn while short ones keep coming.
func (b *backlog) queueUp(n int64) *turn {
	t := &turn{n: n, ready: make(chan struct{})}
	b.line = append(b.line, t)
	return t
}

// admit takes room for those whose turn it is.
func (b *backlog) admit() {
	for len(b.line) > 0 && (b.over || b.hasRoom(b.line[0].n)) {
		t := b.line[0]
		b.line = slices.Delete(b.line, 0, 1)
		b.add(t.n)
		close(t.ready)
	}
}

// leave gives up the room that was taken for t, or its place in the line.
func (b *backlog) leave(t *turn) {
	if i := slices.Index(b.line, t); i >= 0 {
		b.line = slices.Delete(b.line, i, i+1)
	} else {
		b.add(-t.n)
	}
	b.admit()
}
