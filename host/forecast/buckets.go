package forecast

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
)

// buckets are the token buckets of all rate limits, which calls empty evenly over a span.
type buckets map[string]map[string]*bucket // by rule and key

// bucket is a token bucket.
type bucket struct {
	rule                *config.Rule
	rate, burst, tokens float64 // rate is a second's
	debt                float64 // that calls may wait for

	asked  float64 // calls of the span
	ratio  float64 // of the calls that get a token
	served float64
}

// overflowKey is the key of the bucket for keys beyond maxKeys.
const overflowKey = "\x00"

// of returns the bucket of a limit.
func (s buckets) of(m *policies.MetLimit) *bucket {
	byKey := s[m.Name]
	if byKey == nil {
		byKey = make(map[string]*bucket)
		s[m.Name] = byKey
	}
	key, limit := m.Bucket, m.RateLimit
	b := byKey[key]
	if b == nil && len(limit.Key) > 0 && len(byKey) >= limit.MaxKeys {
		key = overflowKey
		b = byKey[key]
	}
	if b == nil {
		b = &bucket{rule: m.Rule, rate: float64(limit.Rate) / limit.Per.Std().Seconds(), burst: float64(limit.Burst), tokens: float64(limit.Burst)}
		if limit.OnExceed == config.OnExceedWait {
			b.debt = b.rate * limit.MaxWait.Std().Seconds()
		}
		byKey[key] = b
	}
	return b
}

// demand is calls that need a token of each of some buckets.
type demand struct {
	load  int
	calls float64
	of    []*bucket
}

// passes returns the ratio of the calls that get a token of all buckets but one.
func (d *demand) passes(but *bucket) float64 {
	p := 1.0
	for _, b := range d.of {
		if b != but {
			p *= b.ratio
		}
	}
	return p
}

// refusedBy returns the calls that a bucket refuses: those that have no token of several count for each in part.
func (d *demand) refusedBy(b *bucket) float64 {
	all := 0.0
	for _, o := range d.of {
		all += 1 - o.ratio
	}
	if all == 0 {
		return 0
	}
	return d.calls * (1 - d.passes(nil)) * (1 - b.ratio) / all
}

const (
	rounds  = 30
	settled = 1e-4 // a change of a ratio that does not matter
)

// serve finds the ratio of the calls that each bucket serves: a call that one refuses takes no token of the others.
func (s buckets) serve(demands []demand, length time.Duration) {
	users := make(map[*bucket][]*demand)
	var list []*bucket
	for i := range demands {
		d := &demands[i]
		for _, b := range d.of {
			if users[b] == nil {
				list = append(list, b)
				b.ratio, b.asked = 1, 0
			}
			users[b] = append(users[b], d)
			b.asked += d.calls
		}
	}
	supply := func(b *bucket) float64 { return b.tokens + b.debt + b.rate*length.Seconds() }
	slices.SortStableFunc(list, func(a, b *bucket) int { return cmp.Compare(supply(a)*b.asked, supply(b)*a.asked) })
	for range rounds {
		moved := 0.0
		for _, b := range list {
			need := 0.0
			for _, d := range users[b] {
				need += d.calls * d.passes(b)
			}
			ratio := 1.0
			if need > supply(b) {
				ratio = supply(b) / need
			}
			moved = max(moved, math.Abs(ratio-b.ratio))
			b.ratio = ratio
		}
		if moved < settled {
			break
		}
	}
	for b, of := range users {
		b.served = 0
		for _, d := range of {
			b.served += d.calls * d.passes(nil)
		}
	}
}

// refill adds the tokens of a span.
func (s buckets) refill(length time.Duration) {
	for _, byKey := range s {
		for _, b := range byKey {
			b.tokens = min(b.tokens+b.rate*length.Seconds()-b.served, b.burst)
			b.served = 0
		}
	}
}
