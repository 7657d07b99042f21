package limit

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// take takes a token of a key, if there is one.
func take(l *Limiter, key string) bool {
	l.Lock()
	defer l.Unlock()
	b, now := l.Bucket([]byte(key), time.Now()), time.Now()
	if b.Wait(now) > 0 {
		return false
	}
	b.Take()
	return true
}

func TestRatesAreNeverExceededAndHardlyMissed(t *testing.T) {
	for _, r := range []struct {
		rate float64
		per  time.Duration
	}{
		{1, 24 * time.Hour},
		{0.5, 12 * time.Hour},
		{1, time.Second},
		{0.3, time.Second},
		{7, time.Millisecond},
		{3333, time.Second},
		{1, 10 * time.Nanosecond},
		{1e8, time.Second},
		{99999999, time.Second},
		{7e7, time.Second},
	} {
		for _, burst := range []int64{1, 2, 1000, 1e9} {
			b := NewRate(r.rate, r.per, burst)
			asked, got := r.rate/r.per.Seconds(), float64(b.quantum)/b.interval.Seconds()
			if got > asked*1.000001 || burst >= 1000 && got < asked*0.999 {
				t.Errorf("%v per %v, burst %d: %v a second instead of %v", r.rate, r.per, burst, got, asked)
			}
		}
	}
}

// A model that keeps all buckets for ever knows what each key is due.
func TestForgettingChangesNoDecision(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(*testing.T) {
			rate := NewRate(rapid.Float64Range(0.5, 50).Draw(rt, "rate"), time.Second, rapid.Int64Range(1, 5).Draw(rt, "burst"))
			l := NewLimiter(RateLimits{Rate: rate, MaxKeys: 8}, true, func(Event) {})
			model := map[string]*bucket{}
			for range rapid.IntRange(1, 200).Draw(rt, "calls") {
				time.Sleep(time.Duration(rapid.IntRange(0, 1500).Draw(rt, "ms")) * time.Millisecond)
				key := fmt.Sprint("c", rapid.IntRange(0, 12).Draw(rt, "caller"))
				before := l.Stats().Overflow
				got := take(l, key)
				if l.Stats().Overflow != before {
					continue // decided by the shared bucket
				}
				b := model[key]
				if b == nil {
					b = newBucket(rate, time.Now())
					model[key] = b
				}
				want := b.at(time.Now()).level() >= 1
				if want {
					b.Take()
				}
				if got != want {
					rt.Fatalf("%s allowed: %v", key, got)
				}
			}
		})
	})
}

// A model whose buckets follow each change at once knows what each key is due. Many changes come before a key is used again.
func TestAChangeOfTheRateAppliesAsFromItsMoment(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(*testing.T) {
			limits := func() RateLimits {
				rate := NewRate(rapid.Float64Range(0.5, 50).Draw(rt, "rate"), time.Second, rapid.Int64Range(1, 9).Draw(rt, "burst"))
				return RateLimits{Rate: rate, MaxKeys: 100}
			}
			now := limits()
			l := NewLimiter(now, true, func(Event) {})
			model := map[string]*bucket{}
			for range rapid.IntRange(1, 200).Draw(rt, "steps") {
				time.Sleep(time.Duration(rapid.IntRange(0, 700).Draw(rt, "ms")) * time.Millisecond)
				key := fmt.Sprint("c", rapid.IntRange(0, 25).Draw(rt, "caller"))
				switch rapid.IntRange(0, 4).Draw(rt, "step") {
				case 0:
					for range rapid.SampledFrom([]int{1, 1, 3, maxChanges + 2}).Draw(rt, "changes") {
						now = limits()
						l.SetLimits(now)
						for _, b := range model {
							b.at(time.Now()).setRate(now.Rate)
						}
					}
					continue
				case 1:
					if b := l.byKey[key]; b != nil {
						l.GiveBack(b)
						model[key].at(time.Now()).giveBack()
					}
					continue
				}
				got, b := take(l, key), model[key]
				if b == nil {
					b = newBucket(now.Rate, time.Now())
					model[key] = b
				}
				want := b.at(time.Now()).level() >= 1
				if want {
					b.Take()
				}
				if got != want {
					rt.Fatalf("%s allowed: %v", key, got)
				}
			}
			for key, b := range l.byKey {
				if got, want := l.Level([]byte(key)), model[key].at(time.Now()).level(); got != want {
					rt.Fatalf("%s has %d tokens, want %d", key, got, want)
				}
				if b.index < 0 || l.heap[b.index] != b {
					rt.Fatalf("%s is not in its place", key)
				}
			}
			if l.stale != 0 || l.changes != nil {
				rt.Fatalf("%d buckets are behind %d changes", l.stale, len(l.changes))
			}
			for i := range l.heap {
				if i > 0 && l.Less(i, (i-1)/2) {
					rt.Fatalf("the heap is out of order at %d", i)
				}
			}
		})
	})
}

func TestATokenThatIsGivenBackMakesRoomForAnotherKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(RateLimits{Rate: NewRate(1, time.Hour, 1), MaxKeys: 1}, true, func(Event) {})
		take(l, "a")
		take(l, "b")
		l.GiveBack(l.byKey["a"])
		take(l, "c")
		if n := l.Stats(); n.Overflow != 1 {
			t.Errorf("%+v: only b had to share", n)
		}
	})
}

// fill makes a limiter with some keys, each of which has taken a token.
func fill(keys int) *Limiter {
	l := NewLimiter(RateLimits{Rate: NewRate(1, time.Hour, 5), MaxKeys: 2 * keys}, true, func(Event) {})
	for i := range keys {
		take(l, fmt.Sprint("c", i))
	}
	return l
}

func TestACopyHasTheTokensOfEachKeyAndOfCallsMeanwhile(t *testing.T) {
	const keys = 10*copyAtOnce + 7
	l := fill(keys)
	stop, taking := make(chan struct{}), new(sync.WaitGroup)
	for range 4 {
		taking.Go(func() {
			for i := 0; ; i = (i + 7) % keys {
				select {
				case <-stop:
					return
				default:
				}
				take(l, fmt.Sprint("c", i))
				l.Lock()
				b := l.byKey["c1"]
				l.Unlock()
				l.GiveBack(b) // moves it to the front of the heap
			}
		})
	}
	l.Copy()
	close(stop)
	taking.Wait()
	c := l.Copy()
	for i := range keys {
		key := []byte(fmt.Sprint("c", i))
		if got, want := c.Level(key), l.Level(key); got != want {
			t.Fatalf("%s: %d tokens, want %d", key, got, want)
		}
	}
	if len(c.heap) != keys {
		t.Errorf("%d buckets", len(c.heap))
	}
	for i, b := range c.heap {
		if b.index != i || i > 0 && c.Less(i, (i-1)/2) {
			t.Fatalf("the heap is out of order at %d", i)
		}
	}
}

func TestWhatIsGivenBackAfterARestoreIsLost(t *testing.T) {
	l, c := fill(3), fill(2)
	taken, moved := l.byKey["c1"], c.byKey["c1"]
	l.Restore(c)
	l.GiveBack(taken)
	c.GiveBack(moved)
	if got := l.Level([]byte("c1")); got != 4 {
		t.Errorf("%d tokens, want 4", got)
	}
	if got := c.Level([]byte("c1")); got != 5 {
		t.Errorf("%d tokens are left, want those of a full bucket", got)
	}
	if n := l.Stats().Keys; n != 2 {
		t.Errorf("%d keys, want 2", n)
	}
}

// The longest that calls are held up while a limiter of a million keys is edited, and while the edit is rolled back.
func BenchmarkHeldUpByAnEditOfAMillionKeys(b *testing.B) {
	const keys = 1_000_000
	l, names := fill(keys), make([]string, keys)
	for i := range names {
		names[i] = fmt.Sprint("c", i)
	}
	before, after := l.limits, l.limits
	after.Rate = NewRate(2, time.Hour, 5)
	var c *Limiter
	for _, phase := range []struct {
		name string
		do   func()
	}{
		{"copy", func() { c = l.Copy() }},
		{"edit", func() { l.SetLimits(after) }},
		{"back", func() { l.SetLimits(before) }},
		{"restore", func() { l.Restore(c) }},
	} {
		var longest time.Duration
		for range 3 {
			runtime.GC()
			done := make(chan struct{})
			go func() {
				defer close(done)
				phase.do()
			}()
			for ended, calls := false, 0; !ended || calls < 500; calls++ {
				select {
				case <-done:
					ended = true
				default:
				}
				began := time.Now()
				take(l, names[calls*7919%keys])
				longest = max(longest, time.Since(began))
				time.Sleep(100 * time.Microsecond) // as calls that come one by one
			}
		}
		b.ReportMetric(float64(longest.Microseconds()), "µs-"+phase.name)
	}
}

// The cost of a call of one of many keys.
func BenchmarkTakeOfAMillionKeys(b *testing.B) {
	const keys = 1_000_000
	l, names := fill(keys), make([]string, keys)
	for i := range names {
		names[i] = fmt.Sprint("c", i)
	}
	i := 0
	for b.Loop() {
		take(l, names[i])
		i = (i + 7919) % keys
	}
}

func BenchmarkTake(b *testing.B) {
	l := fill(1)
	for b.Loop() {
		take(l, "c0")
	}
}

func TestCallsWaitForAFewKeysOnlyWhileThereAreTooManyChanges(t *testing.T) {
	l := fill(1000)
	rates := [...]Rate{NewRate(1, time.Hour, 10), NewRate(2, time.Hour, 10)}
	for i := range maxChanges {
		l.SetLimits(RateLimits{Rate: rates[i%2], MaxKeys: 1000})
	}
	if len(l.changes) != maxChanges || l.stale != 1000 {
		t.Fatalf("%d buckets are behind %d changes", l.stale, len(l.changes))
	}
	if more := l.catchUp(); !more || l.stale != 1000-catchUpAtOnce {
		t.Errorf("%v, %d buckets are behind", more, l.stale)
	}
	l.SetLimits(RateLimits{Rate: rates[0], MaxKeys: 1000})
	if len(l.changes) != 1 || l.stale != 1000 {
		t.Errorf("%d buckets are behind %d changes", l.stale, len(l.changes))
	}
}
