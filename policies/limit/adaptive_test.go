package limit_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/policies/limit"
)

// backend is simulated in virtual time: calls wait for each other beyond its capacity.
type backend struct {
	base     time.Duration // of a call that waits for none
	capacity float64       // calls in flight from which on they wait for each other
	noise    float64       // mean of an exponential part of the duration, relative to base
}

func (b *backend) took(inFlight int, random *rand.Rand) time.Duration {
	d := b.base.Seconds() * max(1, float64(inFlight)/b.capacity)
	if b.noise > 0 {
		d *= 1 - b.noise + b.noise*random.ExpFloat64()
	}
	return time.Duration(d * float64(time.Second))
}

// offer keeps up to n calls in flight under an adaptive limit for a while, and returns how many were served.
func offer(s *limit.Semaphore, a *limit.Adaptive, b *backend, n int, d time.Duration) (served int) {
	random := rand.New(rand.NewPCG(1, 2)) // the same in each run
	until := time.Now().Add(d)
	ended := make(chan time.Time, 100_000)
	running := 0
	for time.Now().Before(until) {
		for running < n && s.TryAcquire() {
			running++
			begun, took := time.Now(), b.took(s.Running(), random)
			time.AfterFunc(took, func() { ended <- begun })
		}
		begun := <-ended
		a.Observe(time.Now(), time.Since(begun), s.Running(), false)
		s.Release()
		running--
		served++
	}
	for ; running > 0; running-- {
		<-ended
		s.Release()
	}
	return served
}

func newAdaptive(t *testing.T, minimum, maximum, start int) (*limit.Semaphore, *limit.Adaptive) {
	t.Helper()
	if testing.Short() {
		t.Skip("a simulation of many calls: nothing races")
	}
	s := limit.NewSemaphore(start, 0)
	b := limit.AdaptiveBounds{Min: minimum, Max: maximum}
	a := limit.NewAdaptive(s, b, start)
	a.SetBounds(b, 0)
	return s, a
}

func within(t *testing.T, what string, s *limit.Semaphore, low, high int) {
	t.Helper()
	if n := s.Max(); n < low || n > high {
		t.Errorf("%s: the limit is %d, want %d to %d", what, n, low, high)
	}
}

func TestAnAdaptiveLimitGrowsToItsMaximumOnlyWhenUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := newAdaptive(t, 10, 500, 10)
		fast := &backend{base: 20 * time.Millisecond, capacity: math.Inf(1)}
		offer(s, a, fast, 50, 60*time.Second)
		within(t, "50 calls in flight", s, 50, 80)
		offer(s, a, fast, 1000, 60*time.Second)
		within(t, "1000 calls in flight", s, 500, 500)
		time.Sleep(time.Hour)
		within(t, "after an idle hour", s, 500, 500)
		offer(s, a, fast, 1, time.Minute)
		within(t, "one call at a time", s, 500, 500)
	})
}

func TestAnAdaptiveLimitStaysNearTheCapacity(t *testing.T) {
	for _, start := range []int{10, 40} {
		t.Run(fmt.Sprint(start), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a := newAdaptive(t, 10, 2000, start)
				b := &backend{base: 20 * time.Millisecond, capacity: 100}
				offer(s, a, b, 5000, 20*time.Second)
				within(t, "after 20 s of overload", s, 100, 200)
				offer(s, a, b, 5000, 3*time.Minute)
				within(t, "after 3 min of overload", s, 100, 200)
			})
		})
	}
}

func TestAnAdaptiveLimitFollowsTheCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := newAdaptive(t, 5, 2000, 10)
		b := &backend{base: 20 * time.Millisecond, capacity: 200}
		offer(s, a, b, 5000, time.Minute)
		within(t, "at a capacity of 200", s, 200, 400)
		b.capacity = 100
		offer(s, a, b, 5000, time.Minute)
		within(t, "at half of it", s, 100, 200)
		b.capacity = 200
		offer(s, a, b, 5000, time.Minute)
		within(t, "recovered", s, 200, 400)
	})
}

// Calls that become slower for another reason than the load are not throttled for long.
func TestAnAdaptiveLimitAdaptsToAnotherBase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := newAdaptive(t, 5, 300, 10)
		b := &backend{base: 20 * time.Millisecond, capacity: math.Inf(1)}
		offer(s, a, b, 1000, time.Minute)
		within(t, "before", s, 300, 300)
		for range 20 { // drifts to seven times as much
			b.base += b.base / 10
			offer(s, a, b, 1000, 20*time.Second)
		}
		within(t, "after a drift", s, 250, 300)
		b.base *= 4
		offer(s, a, b, 1000, time.Minute)
		within(t, "after a jump", s, 250, 300)
		b.base = 20 * time.Millisecond
		offer(s, a, b, 1000, 10*time.Second)
		if n := a.Stats(); n.Long > 30*time.Millisecond || n.Short != b.base {
			t.Errorf("fast again, but %+v", n)
		}
	})
}

// While the overload goes on, only a lower limit shows that calls are as fast as before.
func TestAnAdaptiveLimitFindsTheCapacityAfterASlowTime(t *testing.T) {
	for _, times := range []int{3, 10} {
		t.Run(fmt.Sprint(times), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a := newAdaptive(t, 5, 2000, 10)
				b := &backend{base: 20 * time.Millisecond, capacity: 100}
				offer(s, a, b, 5000, 30*time.Second)
				within(t, "before", s, 100, 200)
				b.base *= time.Duration(times)
				offer(s, a, b, 5000, 2*time.Minute)
				within(t, "while calls are slow", s, 80, 400)
				b.base = 20 * time.Millisecond
				offer(s, a, b, 5000, time.Minute)
				within(t, "a minute after they were", s, 100, 200)
				if n := a.Stats(); n.Long > 25*time.Millisecond {
					t.Errorf("%+v", n)
				}
			})
		})
	}
}

func TestProbesOfAnAdaptiveLimitCostLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := newAdaptive(t, 5, 2000, 10)
		b := &backend{base: 20 * time.Millisecond, capacity: 100} // 5000 calls a second
		offer(s, a, b, 5000, 10*time.Second)
		probing := 0
		done := make(chan struct{})
		go func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(10 * time.Millisecond):
					if a.Stats().Probing {
						probing++
					}
				}
			}
		}()
		if n := offer(s, a, b, 5000, time.Minute); n < 285_000 {
			t.Errorf("%d of 300000 calls are served", n)
		}
		close(done)
		synctest.Wait()
		if probing == 0 || probing > 300 {
			t.Errorf("probes take %d of 6000 moments", probing)
		}
	})
}

func TestNoProbeLowersALimitUnderWhichCallsDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := newAdaptive(t, 5, 100, 100)
		b := &backend{base: 20 * time.Millisecond, capacity: math.Inf(1)}
		for range 60 {
			offer(s, a, b, 1000, time.Second)
			within(t, "at the maximum", s, 100, 100)
		}
	})
}

func TestBurstsDoNotLowerAnAdaptiveLimitBelowTheCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := newAdaptive(t, 5, 2000, 10)
		b := &backend{base: 20 * time.Millisecond, capacity: 100}
		offer(s, a, b, 5000, 30*time.Second)
		for range 20 {
			offer(s, a, b, 5000, time.Second)
			within(t, "after a burst", s, 50, 220) // a probe may be under way
			offer(s, a, b, 2, 2*time.Second)
		}
		offer(s, a, b, 5000, 5*time.Second)
		within(t, "after the bursts", s, 50, 220)
	})
}

func TestNoiseDoesNotLowerAnAdaptiveLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := newAdaptive(t, 5, 200, 10)
		offer(s, a, &backend{base: 20 * time.Millisecond, capacity: math.Inf(1), noise: 0.8}, 1000, 2*time.Minute)
		within(t, "with noise", s, 150, 200)
	})
}

func TestBoundsOfAnAdaptiveLimitHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := newAdaptive(t, 40, 60, 10)
		if a.Limit() != 40 {
			t.Errorf("begins at %d", a.Limit())
		}
		slow := &backend{base: 20 * time.Millisecond, capacity: 1}
		offer(s, a, slow, 1000, time.Minute)
		within(t, "minimum", s, 40, 60)
		a.SetBounds(limit.AdaptiveBounds{Min: 5, Max: 8}, 3)
		within(t, "other bounds", s, 8, 8)
		a.SetBounds(limit.AdaptiveBounds{Min: 20, Max: 30}, 3)
		within(t, "other bounds", s, 20, 20)
	})
}

// Calls that fail at once are not the base that later calls are slow against.
func TestFastFailuresDoNotLowerAnAdaptiveLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := newAdaptive(t, 10, 200, 10)
		healthy := &backend{base: 20 * time.Millisecond, capacity: math.Inf(1)}
		offer(s, a, healthy, 1000, 60*time.Second)
		within(t, "before", s, 200, 200)
		for range 10_000 {
			time.Sleep(time.Millisecond)
			a.Observe(time.Now(), 100*time.Microsecond, 200, true)
		}
		offer(s, a, healthy, 1000, time.Second)
		within(t, "after", s, 200, 200)
	})
}
