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
	pass  float64 // ratio of the calls that get a token of each
}

// lacking returns the sum of the ratios of the calls that each bucket has no token for.
func (d *demand) lacking() (all float64) {
	for _, b := range d.of {
		all += 1 - b.ratio
	}
	return all
}

// refusedBy returns the calls that a bucket refuses, given what lacking returns: those that have no token of several count for each in
// part.
func (d *demand) refusedBy(b *bucket, lacking float64) float64 {
	if lacking == 0 {
		return 0
	}
	return d.calls * (1 - d.pass) * (1 - b.ratio) / lacking
}

const (
	maxRounds = 30
	minRounds = 3
	maxVisits = 200_000 // of buckets, for a span, as long as minRounds suffices
	settled   = 1e-4    // a change of a ratio that does not matter
)

// rounds returns how often the ratios are improved, for demands of a number of buckets.
func rounds(buckets int) int { return min(max(maxVisits/max(buckets, 1), minRounds), maxRounds) }

// serve finds the ratio of the calls that each bucket serves: a call that one refuses takes no token of the others.
func (s buckets) serve(demands []demand, length time.Duration) {
	users := make(map[*bucket][]*demand)
	var list []*bucket
	visits := 0
	for i := range demands {
		d := &demands[i]
		d.pass = 1
		visits += len(d.of)
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
	for range rounds(visits) {
		moved := 0.0
		for _, b := range list {
			need := 0.0
			for _, d := range users[b] {
				need += d.calls * d.pass / b.ratio
			}
			ratio := 1.0
			if need > supply(b) {
				ratio = supply(b) / need
			}
			moved = max(moved, math.Abs(ratio-b.ratio))
			for _, d := range users[b] {
				d.pass *= ratio / b.ratio
			}
			b.ratio = ratio
		}
		if moved < settled {
			break
		}
	}
	for b, of := range users {
		b.served = 0
		for _, d := range of {
			b.served += d.calls * d.pass
		}
	}
}

// refill adds the tokens of a span.
func (s buckets) refill(length time.Duration) {
	for _, byKey := range s {
		for _, b := range byKey {
			left := max(b.tokens+b.rate*length.Seconds()-b.served, -b.debt) // served may exceed it, since the rounds are bounded
			b.tokens = min(left, b.burst)
			b.served = 0
		}
	}
}
