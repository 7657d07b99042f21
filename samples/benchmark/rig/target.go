package rig

import "slices"

// target is a ratio of two figures that the project aims at.
type target struct {
	scenario       string
	value          string // that is compared
	contestant, to string
	atLeast        float64
	atMost         float64 // 0: no bound
}

// values that targets compare.
var values = map[string]func(*Repetition) float64{
	"calls/s": func(r *Repetition) float64 { return r.CallsPerSecond },
	"p50":     func(r *Repetition) float64 { return r.LatencyUs.P50 },
	"p99":     func(r *Repetition) float64 { return r.LatencyUs.P99 },
}

var targets = []target{
	{scenario: "s1", value: "calls/s", contestant: "easymicro", to: "grpc-go", atLeast: 3.4},
	{scenario: "s1", value: "calls/s", contestant: "easymicro", to: "pp+pb", atLeast: 0.70},
	{scenario: "s2", value: "calls/s", contestant: "easymicro", to: "grpc-go", atLeast: 5},
	{scenario: "s2", value: "calls/s", contestant: "easymicro", to: "mux+pb+goroutine", atLeast: 1.15},
	{scenario: "s2-gogc800", value: "calls/s", contestant: "easymicro", to: "grpc-go", atLeast: 4},
	{scenario: "s3", value: "calls/s", contestant: "easymicro", to: "grpc-go", atLeast: 4.5},
	{scenario: "s3", value: "calls/s", contestant: "easymicro", to: "mux+pb+goroutine", atLeast: 1.15},
	{scenario: "s4", value: "p50", contestant: "easymicro", to: "grpc-go", atMost: 0.25},
	{scenario: "gateway", value: "calls/s", contestant: "easymicro-gateway", to: "net/http+json", atLeast: 0.95},
	{scenario: "gateway", value: "calls/s", contestant: "easymicro-standalone", to: "net/http+json", atLeast: 0.55},
	{scenario: "open-50-reference", value: "p50", contestant: "easymicro", to: "grpc-go", atMost: 1},
	{scenario: "open-50-reference", value: "p99", contestant: "easymicro", to: "grpc-go", atMost: 1},
}

// base is easymicro of another commit, added as base=PATH. Handlers that take time must not become slower.
const base = "base:easymicro"

// goals returns all targets.
func goals() []target {
	all := slices.Clone(targets)
	for _, s := range allScenarios() {
		if s.Spin > 0 || s.Handler != "" {
			all = append(all, target{scenario: s.Name, value: "calls/s", contestant: "easymicro", to: base, atLeast: 0.95})
		}
	}
	return all
}

// Outcome is a target and what was measured.
type Outcome struct {
	Scenario   string  `json:"scenario"`
	Value      string  `json:"value"`
	Contestant string  `json:"contestant"`
	To         string  `json:"to"`
	AtLeast    float64 `json:"at_least,omitempty"`
	AtMost     float64 `json:"at_most,omitempty"`
	Ratio      Spread  `json:"ratio"`
	Met        bool    `json:"met"`
}

// outcomes compares figures with the targets whose figures were measured.
func outcomes(figures []*Figure) []Outcome {
	var all []Outcome
	for _, t := range goals() {
		f, to := findFigure(figures, t.scenario, t.contestant), findFigure(figures, t.scenario, t.to)
		if f == nil || to == nil {
			continue
		}
		ratio := ratios(f, to, values[t.value])
		met := ratio.Median > 0 && ratio.Median >= t.atLeast && (t.atMost == 0 || ratio.Median <= t.atMost)
		all = append(all, Outcome{t.scenario, t.value, t.contestant, t.to, t.atLeast, t.atMost, ratio, met})
	}
	return all
}
