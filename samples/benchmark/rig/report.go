package rig

import (
	"context"
	"encoding/json"
	"io"
	"time"
)

// Report is the outcome of a run.
type Report struct {
	Date        time.Time     `json:"date"`
	Took        string        `json:"took"`
	Machine     Machine       `json:"machine"`
	Quick       bool          `json:"quick,omitempty"`
	Repeat      int           `json:"repeat"`
	Warmup      time.Duration `json:"warmup"`
	Duration    time.Duration `json:"duration"`
	Noise       float64       `json:"noise"`
	Reference   string        `json:"reference"`
	Contestants []*Entrant    `json:"contestants"`
	Scenarios   []Scenario    `json:"scenarios"`
	Figures     []*Figure     `json:"figures"`
	Targets     []Outcome     `json:"targets"`
}

func (r *run) report(ctx context.Context) *Report {
	return &Report{
		Date: r.begin.UTC().Truncate(time.Second), Took: time.Since(r.begin).Round(time.Second).String(), Machine: thisMachine(ctx),
		Quick: r.Quick, Repeat: r.Repeat, Warmup: r.Warmup, Duration: r.Duration, Noise: r.Noise, Reference: r.Reference,
		Contestants: r.chosen, Scenarios: r.scenarios, Figures: r.figures, Targets: outcomes(r.figures),
	}
}

// WriteJSON writes the report with all repetitions.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// of returns the figures of a scenario, in the order of the contestants.
func (r *Report) of(s *Scenario) []*Figure {
	var all []*Figure
	for _, f := range r.Figures {
		if f.Scenario == s.Name {
			all = append(all, f)
		}
	}
	return all
}
