package rig

import (
	"cmp"
	"slices"
)

// Figure is what was measured of a contestant in a scenario.
type Figure struct {
	Scenario   string `json:"scenario"`
	Contestant string `json:"contestant"`

	CallsPerSecond Spread  `json:"calls_per_second,omitzero"`
	Ratio          Spread  `json:"ratio,omitzero"` // of calls per second to those of the reference in the same round; 0 in open loops
	P50Us          Spread  `json:"p50_us,omitzero"`
	P99Us          Spread  `json:"p99_us,omitzero"`
	P999Us         Spread  `json:"p99_9_us,omitzero"`
	P9999Us        Spread  `json:"p99_99_us,omitzero"`
	LateP99Us      Spread  `json:"late_p99_us,omitzero"`
	Rate           float64 `json:"rate,omitempty"`
	Server         PerCall `json:"server,omitzero"` // medians
	Client         PerCall `json:"client,omitzero"`
	IdleBytes      Spread  `json:"idle_bytes,omitzero"`
	ReleasedBytes  Spread  `json:"released_bytes,omitzero"`

	Disturbed   int          `json:"disturbed,omitempty"` // repetitions that count although others took too much: there was no time for more
	Error       string       `json:"error,omitempty"`     // of the last failed repetition
	Repetitions []Repetition `json:"repetitions"`         // all of them, also those that do not count
}

// Spread is a median with the range around it.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func spreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	return Spread{Median: median(values), Min: slices.Min(values), Max: slices.Max(values)}
}

// median returns the middle value, or the mean of the two in the middle; 0 of none.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	switch {
	case n == 0:
		return 0
	case n%2 == 1:
		return sorted[n/2]
	default:
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
}

// keep marks which repetitions do not count: in each round only the one counts that other processes disturbed least. It returns
// those that count, and how many of them are disturbed all the same.
func keep(all []Repetition, noise float64) (kept []Repetition, disturbed int) {
	best := map[int]int{} // index by round
	for i, r := range all {
		if r.Error != "" {
			continue
		}
		if b, ok := best[r.Round]; !ok || r.Others < all[b].Others {
			best[r.Round] = i
		}
	}
	for i := range all {
		r := &all[i]
		b, ok := best[r.Round]
		r.Discarded = r.Error == "" && (!ok || b != i)
		if r.Error == "" && !r.Discarded {
			kept = append(kept, *r)
			if r.Others > noise {
				disturbed++
			}
		}
	}
	slices.SortFunc(kept, func(a, b Repetition) int { return cmp.Compare(a.Round, b.Round) })
	return kept, disturbed
}

// figureOf summarizes repetitions.
func figureOf(scenario, contestant string, all []Repetition, noise float64) *Figure {
	f := &Figure{Scenario: scenario, Contestant: contestant, Repetitions: slices.Clone(all)}
	kept, disturbed := keep(f.Repetitions, noise)
	f.Disturbed = disturbed
	for _, r := range all {
		if r.Error != "" {
			f.Error = r.Error
		}
	}
	over := func(of func(*Repetition) float64) Spread {
		var values []float64
		for i := range kept {
			values = append(values, of(&kept[i]))
		}
		return spreadOf(values)
	}
	f.CallsPerSecond = over(func(r *Repetition) float64 { return r.CallsPerSecond })
	f.P50Us = over(func(r *Repetition) float64 { return r.LatencyUs.P50 })
	f.P99Us = over(func(r *Repetition) float64 { return r.LatencyUs.P99 })
	f.P999Us = over(func(r *Repetition) float64 { return r.LatencyUs.P999 })
	f.P9999Us = over(func(r *Repetition) float64 { return r.LatencyUs.P9999 })
	f.LateP99Us = over(func(r *Repetition) float64 {
		if r.LateUs == nil {
			return 0
		}
		return r.LateUs.P99
	})
	f.Rate = over(func(r *Repetition) float64 { return r.Rate }).Median
	f.IdleBytes = over(func(r *Repetition) float64 { return r.IdleBytes })
	f.ReleasedBytes = over(func(r *Repetition) float64 { return r.ReleasedBytes })
	f.Server = medianCost(over, func(r *Repetition) *PerCall { return &r.Server })
	f.Client = medianCost(over, func(r *Repetition) *PerCall { return &r.Client })
	return f
}

func medianCost(over func(func(*Repetition) float64) Spread, side func(*Repetition) *PerCall) PerCall {
	of := func(value func(*PerCall) float64) float64 {
		return over(func(r *Repetition) float64 { return value(side(r)) }).Median
	}
	return PerCall{
		CPUUs:        of(func(c *PerCall) float64 { return c.CPUUs }),
		Allocs:       of(func(c *PerCall) float64 { return c.Allocs }),
		Bytes:        of(func(c *PerCall) float64 { return c.Bytes }),
		Reads:        of(func(c *PerCall) float64 { return c.Reads }),
		Writes:       of(func(c *PerCall) float64 { return c.Writes }),
		GCsPerSecond: of(func(c *PerCall) float64 { return c.GCsPerSecond }),
		RSSBytes:     int64(of(func(c *PerCall) float64 { return float64(c.RSSBytes) })),
	}
}

// ratios returns a value of one figure over that of another, round by round.
func ratios(f, to *Figure, value func(*Repetition) float64) Spread {
	byRound := map[int]float64{}
	for i := range to.Repetitions {
		if r := &to.Repetitions[i]; r.Error == "" && !r.Discarded {
			byRound[r.Round] = value(r)
		}
	}
	var all []float64
	for i := range f.Repetitions {
		r := &f.Repetitions[i]
		if base := byRound[r.Round]; r.Error == "" && !r.Discarded && base > 0 {
			all = append(all, value(r)/base)
		}
	}
	return spreadOf(all)
}
