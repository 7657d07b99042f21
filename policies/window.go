package policies

import "time"

// window counts outcomes over the last while, one part of which is forgotten at a time. It is not safe for concurrent use.
type window struct {
	period  time.Duration // of a bucket
	began   time.Time
	age     int64 // the current bucket, since began
	buckets [windowBuckets]struct{ total, failed, slow int }
}

func newWindow(d time.Duration) *window {
	return &window{period: max(d/windowBuckets, 1), began: time.Now()}
}

func (w *window) add(now time.Time, failed, slow bool) {
	w.roll(now)
	b := &w.buckets[w.age%windowBuckets]
	b.total++
	if failed {
		b.failed++
	}
	if slow {
		b.slow++
	}
}

// addSlow has a call that was added be slow, too.
func (w *window) addSlow(now time.Time) {
	w.roll(now)
	w.buckets[w.age%windowBuckets].slow++
}

func (w *window) sum(now time.Time) (total, failed, slow int) {
	w.roll(now)
	for _, b := range w.buckets {
		total, failed, slow = total+b.total, failed+b.failed, slow+b.slow
	}
	return total, failed, slow
}

func (w *window) roll(now time.Time) {
	age := int64(now.Sub(w.began) / w.period)
	for n := 0; w.age < age && n < windowBuckets; n++ {
		w.age++
		clear(w.buckets[w.age%windowBuckets : w.age%windowBuckets+1])
	}
	w.age = max(w.age, age)
}
