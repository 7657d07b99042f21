package wire

import "sync"

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
