package limit

import "time"

// buckets holds the buckets of a limiter. The lock of the limiter guards them.
//
// A change of the rate takes the same time however many there are: a bucket follows it when it is next used, as from the moment of the
// change. Calls have others follow, too, a few each, until all have.
type buckets struct {
	shared *Bucket
	byKey  map[string]*Bucket // nil: the limit has no key
	heap   []*Bucket          // those of byKey, the one that will be full first on top

	epoch   int          // how many changes of the rate there were
	changes []rateChange // the last of them, which not all buckets have followed
	stale   int          // buckets of the heap that have not
	next    int          // where followSome goes on in the heap, downwards
}

// rateChange is a change of the rate.
type rateChange struct {
	at   time.Time
	rate Rate
}

func newBuckets(rate Rate) buckets {
	return buckets{shared: &Bucket{bucket: newBucket(rate, time.Now()), index: -1}}
}

// maxChanges bounds the changes that a bucket follows later.
const maxChanges = 64

// setRate changes the rate of all buckets.
func (s *buckets) setRate(rate Rate, now time.Time) {
	s.changes = append(s.changes, rateChange{now, rate})
	s.epoch++
	s.stale, s.next = len(s.heap), 0
	s.follow(s.shared)
	s.forgetChanges()
}

// follow has a bucket follow the changes of the rate, and returns it.
func (s *buckets) follow(b *Bucket) *Bucket {
	if b.epoch == s.epoch {
		return b
	}
	for _, c := range s.changes[len(s.changes)-(s.epoch-b.epoch):] {
		b.at(c.at).setRate(c.rate)
	}
	b.epoch, b.full = s.epoch, time.Time{} // Less has treated it as such
	if b.index >= 0 {
		s.stale--
		s.forgetChanges()
	}
	return b
}

// followAtOnce is how many buckets a call has follow besides its own.
const followAtOnce = 4

// followSome has n buckets follow the changes of the rate.
func (s *buckets) followSome(n int) {
	for range n {
		if s.stale == 0 {
			return
		}
		if s.next == 0 || s.next > len(s.heap) {
			s.next = len(s.heap)
		}
		s.next--
		s.follow(s.heap[s.next])
	}
}

func (s *buckets) forgetChanges() {
	if s.stale == 0 {
		s.changes = nil
	}
}

// Len is part of heap.Interface.
func (s *buckets) Len() int { return len(s.heap) }

// Less is part of heap.Interface. When a bucket that has not followed a change will be full is not known.
func (s *buckets) Less(i, j int) bool {
	a, b := s.heap[i], s.heap[j]
	switch {
	case b.epoch != s.epoch:
		return false
	case a.epoch != s.epoch:
		return !b.full.IsZero()
	}
	return a.full.Before(b.full)
}

// Swap is part of heap.Interface.
func (s *buckets) Swap(i, j int) {
	h := s.heap
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is part of heap.Interface.
func (s *buckets) Push(x any) {
	b := x.(*Bucket) //nolint:forcetypeassert // container/heap gives back what it was given
	b.index = len(s.heap)
	s.heap = append(s.heap, b)
}

// Pop is part of heap.Interface.
func (s *buckets) Pop() any {
	last := len(s.heap) - 1
	b := s.heap[last]
	s.heap[last] = nil
	s.heap = s.heap[:last]
	b.index = -1
	return b
}
