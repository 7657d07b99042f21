package policies

import (
	"sync"
	"sync/atomic"
	"time"
)

// limiter is the state of a rate limit.
type limiter interface {
	// take asks for one token of a key that comes within maxWait. It tells how long to wait for the token, or, when
	// there is none, after which time it is worth asking again.
	take(key bucketKey, maxWait time.Duration) (wait time.Duration, ok bool)
	// adopt changes to other limits, which keep what was taken.
	adopt(l limits)
	stats() LimiterStats
	// level is the number of tokens left for a key.
	level(key bucketKey) int64
}

// limits are those of a limiter.
type limits struct {
	rate    bucketRate
	maxKeys int
}

// single is a limiter with one bucket for all calls.
type single struct {
	current atomic.Pointer[bucket] // nil while it is being replaced
	mu      sync.Mutex             // held while it is
}

func newSingle(l limits) *single {
	s := new(single)
	s.current.Store(newBucket(l.rate))
	return s
}

func (s *single) bucket() *bucket {
	if b := s.current.Load(); b != nil {
		return b
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current.Load()
}

func (s *single) take(_ bucketKey, maxWait time.Duration) (time.Duration, bool) {
	for {
		b := s.bucket()
		wait, ok := b.tokens.TakeMaxDuration(1, maxWait)
		// A token out of a bucket whose level has been read for its follower was never there.
		if s.current.Load() != b {
			continue
		}
		if !ok {
			return b.untilNext(), false
		}
		return wait, true
	}
}

func (s *single) adopt(l limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.current.Load()
	if old.rate == l.rate {
		return
	}
	s.current.Store(nil)
	s.current.Store(old.follow(l.rate))
}

func (s *single) stats() LimiterStats {
	b := s.bucket()
	return LimiterStats{Tokens: float64(b.tokens.Available()), Burst: b.rate.burst}
}

func (s *single) level(bucketKey) int64 { return s.bucket().tokens.Available() }
