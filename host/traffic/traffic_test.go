package traffic

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// calls has n calls end now.
func calls(m *Method, n int, c code.Code, refused bool) {
	for range n {
		m.Observe(Here(), time.Now(), time.Millisecond, c, refused)
	}
}

func wants(t *testing.T, what string, got Sum, calls, refused, failed uint64) {
	t.Helper()
	if got.Calls() != calls || got.Refused != refused || got.Failed != failed {
		t.Errorf("%s: %d calls, %d refused, %d failed; want %d, %d, %d",
			what, got.Calls(), got.Refused, got.Failed, calls, refused, failed)
	}
}

func TestAFailureIsOneThatNoRuleCaused(t *testing.T) {
	for _, tc := range []struct {
		c               code.Code
		refused         bool
		refusals, fails uint64
	}{
		{code.OK, false, 0, 0},
		{code.Unavailable, false, 0, 1},
		{code.Internal, false, 0, 1},
		{code.DeadlineExceeded, false, 0, 1},
		{code.NotFound, false, 0, 0},
		{code.Unknown, false, 0, 0},
		{code.Cancelled, false, 0, 0},
		{code.Unavailable, true, 1, 0},
		{code.DeadlineExceeded, true, 1, 0},
		{code.ResourceExhausted, true, 1, 0},
		{code.ResourceExhausted, false, 0, 0},
		{200, false, 0, 0},
	} {
		m := New()
		calls(m, 1, tc.c, tc.refused)
		wants(t, tc.c.String(), m.Last(Window, time.Now()), 1, tc.refusals, tc.fails)
		if failed, judged := m.Failures(time.Now()); failed != tc.fails || judged != 1-tc.refusals {
			t.Errorf("%s: %d of %d failed", tc.c, failed, judged)
		}
	}
}

func TestCallsAreCountedByCode(t *testing.T) {
	m := New()
	calls(m, 3, code.OK, false)
	calls(m, 2, code.NotFound, false)
	calls(m, 1, 200, false)
	got := m.Totals()
	by := got.Codes()
	if len(by) != 3 || by[code.OK] != 3 || by[code.NotFound] != 2 || by[code.Unknown] != 1 {
		t.Error(by)
	}
}

func TestAMethodThatWasNeverCalledHasNoCalls(t *testing.T) {
	m := New()
	wants(t, "last", m.Last(Window, time.Now()), 0, 0, 0)
	wants(t, "totals", m.Totals(), 0, 0, 0)
	if l := m.Latency(time.Now()); l.Quantile(0.5) != 0 {
		t.Error(l.Quantile(0.5))
	}
}

func TestCallsBelongToTheirSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, begin := New(), time.Now()
		at := func(second int) time.Time { return begin.Add(time.Duration(second) * time.Second) }
		for second := range 10 {
			calls(m, second, code.OK, false)
			time.Sleep(time.Second)
		}
		wants(t, "all", m.Between(begin, at(10)), 45, 0, 0)
		wants(t, "some", m.Between(at(2), at(4)), 2+3, 0, 0)
		wants(t, "the one that has not ended", m.Between(at(9), at(10)), 9, 0, 0)
		wants(t, "none", m.Between(at(5), at(5)), 0, 0, 0)
		wants(t, "the future", m.Between(at(10), at(20)), 0, 0, 0)
		wants(t, "before the first", m.Between(at(-10), at(1)), 0, 0, 0)
		wants(t, "the last three", m.Last(3*time.Second, time.Now()), 8+9, 0, 0)
	})
}

func TestFiveMinutesAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New()
		for range 3*kept + 7 {
			calls(m, 2, code.OK, false)
			calls(m, 1, code.Internal, false)
			time.Sleep(time.Second)
		}
		end := time.Now()
		wants(t, "window", m.Between(end.Add(-Window), end), 900, 0, 300)
		wants(t, "more than the window", m.Between(end.Add(-2*Window), end), 903, 0, 301)
		wants(t, "more than it, bounded", m.Last(2*Window, end), 897, 0, 299)
		wants(t, "totals", m.Totals(), 3*uint64(3*kept+7), 0, uint64(3*kept+7))
	})
}

func TestIdleTimeForgetsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New()
		for _, idle := range []time.Duration{Window - 2*time.Second, Window - time.Second} {
			calls(m, 5, code.OK, false)
			time.Sleep(idle)
			wants(t, "still known", m.Last(Window, time.Now()), 5, 0, 0)
			time.Sleep(time.Hour)
		}
		for _, idle := range []time.Duration{Window + time.Second, 7 * time.Hour, 100 * 24 * time.Hour} {
			calls(m, 5, code.OK, false)
			time.Sleep(idle)
			wants(t, "forgotten", m.Last(Window, time.Now()), 0, 0, 0)
			if l := m.Latency(time.Now()); l.Quantile(1) != 0 {
				t.Errorf("durations are kept for %v", idle)
			}
			calls(m, 3, code.Unavailable, false)
			wants(t, "after it", m.Last(Window, time.Now()), 3, 0, 3)
			time.Sleep(time.Hour)
		}
		wants(t, "totals", m.Totals(), 34, 0, 9)
	})
}

func TestAGapIsNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New()
		for range 20 {
			calls(m, 1, code.OK, false)
			time.Sleep(17 * time.Second)
		}
		wants(t, "window", m.Last(Window, time.Now()), 17, 0, 0)
		wants(t, "minute", m.Last(time.Minute, time.Now()), 3, 0, 0)
	})
}

func TestTotalsDifferByTheCallsBetweenThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New()
		calls(m, 4, code.OK, false)
		before := m.Totals()
		calls(m, 2, code.Internal, false) // in the same second
		now := m.Totals()
		if now.Calls()-before.Calls() != 2 || now.Failed-before.Failed != 2 {
			t.Errorf("%+v, then %+v", before, now)
		}
	})
}

func TestCountersMayWrap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New()
		calls(m, 1, code.OK, false)
		(*m.live.Load())[0].n[code.OK].Store(math.MaxUint32)
		m.history.before[code.OK] = m.live.Load().sum()[code.OK]
		calls(m, 7, code.OK, false)
		time.Sleep(time.Second)
		calls(m, 1, code.OK, false)
		wants(t, "window", m.Last(Window, time.Now()), 8, 0, 0)
	})
}

func TestQuantilesAreOfTheLastMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New()
		observe := func(n int, took time.Duration) {
			for range n {
				m.Observe(Here(), time.Now(), took, code.OK, false)
			}
		}
		near := func(q float64, want time.Duration) {
			t.Helper()
			l := m.Latency(time.Now())
			if got := l.Quantile(q); got < want*3/4 || got > want*5/4 {
				t.Errorf("quantile %v is %v, want about %v", q, got, want)
			}
		}
		observe(98, 10*time.Millisecond)
		observe(2, time.Second)
		near(0.5, 10*time.Millisecond)
		near(0.99, time.Second)
		time.Sleep(30 * time.Second)
		observe(100, 100*time.Microsecond)
		near(0.25, 100*time.Microsecond)
		near(0.75, 10*time.Millisecond)
		time.Sleep(45 * time.Second)
		near(0.75, 100*time.Microsecond)
	})
}

func TestRefusalsDoNotHideTheLatencyOfOtherCalls(t *testing.T) {
	m := New()
	for range 1000 {
		m.Observe(Here(), time.Now(), 10*time.Microsecond, code.ResourceExhausted, true)
	}
	m.Observe(Here(), time.Now(), 10*time.Millisecond, code.OK, false)
	m.Observe(Here(), time.Now(), time.Second, code.DeadlineExceeded, true) // took its time
	l := m.Latency(time.Now())
	if p := l.Quantile(0.4); p < 8*time.Millisecond {
		t.Errorf("the lower quantile is %v", p)
	}
	if p := l.Quantile(1); p < 800*time.Millisecond {
		t.Errorf("the highest is %v", p)
	}
}

func TestBucketsAreOrderedAndNarrow(t *testing.T) {
	for i := range buckets {
		low, next := lowest(i), lowest(i+1)
		if next <= low || bucketOf(low) != i || bucketOf(next-1) != i {
			t.Errorf("bucket %d: %v to %v", i, low, next)
		}
		if i >= 4 && next-low > low/4 {
			t.Errorf("bucket %d: %v to %v", i, low, next)
		}
	}
	for range 10000 {
		d := time.Duration(rand.Int64N(int64(2 * time.Minute)))
		if i := bucketOf(d); d < lowest(i) || d >= lowest(i+1) {
			t.Errorf("%v is in bucket %d", d, i)
		}
	}
	if bucketOf(-1) != 0 || bucketOf(math.MaxInt64) != buckets-1 {
		t.Error("a duration has no bucket")
	}
}

// Readers and the change of seconds lose no call.
func TestNoCallIsLost(t *testing.T) {
	m, begin := New(), time.Now()
	const callers, each = 8, 20000
	var all, reading sync.WaitGroup
	done := make(chan struct{})
	reading.Go(func() {
		for last := uint64(0); ; {
			s := m.Totals()
			if s.Calls() < last {
				t.Errorf("%d calls after %d", s.Calls(), last)
			}
			last = s.Calls()
			m.Latency(time.Now())
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for range callers {
		all.Go(func() {
			for i := range each {
				end := begin.Add(time.Duration(i) * 5 * time.Millisecond) // 100 s
				m.Observe(Here(), end, time.Microsecond, code.OK, i%10 == 0)
			}
		})
	}
	all.Wait()
	close(done)
	reading.Wait()
	wants(t, "totals", m.Totals(), callers*each, callers*each/10, 0)
	wants(t, "window", m.Between(begin, begin.Add(Window)), callers*each, callers*each/10, 0)
}

func BenchmarkObserve(b *testing.B) {
	m := New()
	m.Observe(Here(), time.Now(), time.Millisecond, code.OK, false)
	end := time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Observe(Here(), end, 130*time.Microsecond, code.OK, false)
		}
	})
}

// Once a second, a call keeps the counts of the last one.
func BenchmarkAdvance(b *testing.B) {
	m := New()
	end := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		end = end.Add(time.Second)
		m.Observe(Here(), end, 130*time.Microsecond, code.OK, false)
	}
}

func TestTheShareAboveADuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New()
		for i := range 1000 {
			m.Observe(Here(), time.Now(), time.Duration(i)*time.Millisecond, code.OK, false)
		}
		l := m.Latency(time.Now())
		for _, d := range []time.Duration{0, 10 * time.Millisecond, 100 * time.Millisecond, 333 * time.Millisecond, 900 * time.Millisecond, 2 * time.Second} {
			want := max(1-d.Seconds(), 0)
			if got := l.Above(d); math.Abs(got-want) > 0.01 {
				t.Errorf("%.3f of the calls took longer than %s, want %.3f", got, d, want)
			}
		}
	})
}
