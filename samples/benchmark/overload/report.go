package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what was measured.
type report struct {
	Date      time.Time     `json:"date"`
	Cores     int           `json:"cores"`
	HostCores int           `json:"host_cores"`
	Go        string        `json:"go"`
	Warmup    time.Duration `json:"warmup_ns"`
	Duration  time.Duration `json:"duration_ns"`
	Series    []series      `json:"series"`
}

// series is a handler under all rules.
type series struct {
	Method   string  `json:"method"`
	Title    string  `json:"title"`
	Capacity float64 `json:"capacity"` // calls a second that eight callers get
	Peak     float64 `json:"peak"`     // the most that were served in time under any rule at any load
	Rules    []ruled `json:"rules"`
}

type ruled struct {
	Name  string `json:"name"`
	Rule  string `json:"rule,omitempty"`
	Steps []step `json:"steps"`
}

// step is a load under a rule.
type step struct {
	Load float64 `json:"load"` // relative to the capacity
	outcome
	OfPeak float64 `json:"of_peak"`
	MiB    float64 `json:"resident_mib"` // at most
}

// judge relates what was served to the peak.
func (s *series) judge() {
	for _, r := range s.Rules {
		for _, t := range r.Steps {
			s.Peak = max(s.Peak, t.Goodput)
		}
	}
	for _, r := range s.Rules {
		for i := range r.Steps {
			if s.Peak > 0 {
				r.Steps[i].OfPeak = r.Steps[i].Goodput / s.Peak
			}
		}
	}
}

func (r *report) json() (string, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	return string(text) + "\n", err
}

// text returns the tables.
func (r *report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d cores, %d of them for the host, %s; each load for %s after %s; a call counts as served within %s\n",
		r.Date.Format(time.DateOnly), r.Cores, r.HostCores, r.Go, r.Duration, r.Warmup, inTime)
	for _, s := range r.Series {
		fmt.Fprintf(&b, "\n%s: %.0f calls/s are the capacity, %.0f the peak\n", s.Title, s.Capacity, s.Peak)
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(w, "rule\tload\tserved/s\tof the peak\tp50 ms\tp99\trefused/s\tp50 ms\tp99\tlost/s\tMiB\tbegin p99\t")
		for _, rule := range s.Rules {
			for _, t := range rule.Steps {
				fmt.Fprintf(w, "%s\t%.1f×\t%.0f\t%.0f %%\t%.1f\t%.1f\t%.0f\t%.1f\t%.1f\t%.0f\t%.0f\t%.1f\t\n", rule.Name, t.Load, t.Goodput, 100*t.OfPeak,
					t.ServedP50, t.ServedP99, t.Refused, t.RefuseP50, t.RefuseP99, t.Lost, t.MiB, t.BeginP99)
			}
		}
		_ = w.Flush() // a strings.Builder does not fail
	}
	return b.String()
}
