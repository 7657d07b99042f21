package rig

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// WriteText writes the report as tables for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	r.writeHead(&b)
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		if figures := r.of(s); len(figures) > 0 {
			fmt.Fprintf(&b, "\n%s: %s\n", s.Name, s.Title)
			r.tableOf(s, figures).write(&b)
		}
	}
	if len(r.Targets) > 0 {
		fmt.Fprintf(&b, "\ntargets, as medians of the ratios in each round\n")
		targetTable(r.Targets).write(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) writeHead(w io.Writer) {
	m := &r.Machine
	fmt.Fprintf(w, "%s: %d cores, %s, Linux %s, %s, source %s\n", r.Date.Format(time.DateOnly), m.Cores, m.CPU, m.Kernel, m.Go, m.Source)
	fmt.Fprintf(w, "medians (from least to most) of %d interleaved repetitions of %s after %s, which took %s;\n", r.Repeat, r.Duration, r.Warmup, r.Took)
	fmt.Fprintf(w, "disturbed: others took more than %.0f %% of the machine, and there was no time for another repetition\n", 100*r.Noise)
	var versions []string
	for _, e := range r.Contestants {
		if e.Version != "" && e.Version != strings.Fields(m.Go)[0] {
			versions = append(versions, e.Name+" "+e.Version)
		}
	}
	if len(versions) > 0 {
		fmt.Fprintln(w, strings.Join(versions, ", "))
	}
}

func (r *Report) tableOf(s *Scenario, figures []*Figure) table {
	columns := columnsOf(s, s.reference(r.Reference))
	var t table
	for _, c := range columns {
		t.titles = append(t.titles, c.title)
	}
	for _, f := range figures {
		row := []string{f.Contestant, "failed: " + firstLine(f.Error)}
		if f.CallsPerSecond.Median > 0 || s.Hold && f.Error == "" {
			row = row[:1]
			for _, c := range columns[1:] {
				row = append(row, c.value(f))
			}
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func targetTable(outcomes []Outcome) table {
	t := table{titles: []string{"", "of", "contestant", "to", "ratio", "target", ""}}
	for _, o := range outcomes {
		bound, result := fmt.Sprintf("≥ %.2f", o.AtLeast), "met"
		if o.AtMost > 0 {
			bound = fmt.Sprintf("≤ %.2f", o.AtMost)
		}
		if !o.Met {
			result = "missed"
		}
		ratio := fmt.Sprintf("%.2f (%.2f–%.2f)", o.Ratio.Median, o.Ratio.Min, o.Ratio.Max)
		t.rows = append(t.rows, []string{o.Scenario, o.Value, o.Contestant, o.To, ratio, bound, result})
	}
	return t
}

// column is a column of the table of a scenario.
type column struct {
	title string
	value func(*Figure) string
}

func columnsOf(s *Scenario, reference string) []column {
	all := []column{{"", nil}} // the contestant
	if s.Hold {
		kib := func(v Spread) string { return fmt.Sprintf("%.1f (%.1f–%.1f)", v.Median/1024, v.Min/1024, v.Max/1024) }
		return append(all,
			column{"KiB a connection", func(f *Figure) string { return kib(f.IdleBytes) }},
			column{"garbage returned", func(f *Figure) string { return kib(f.ReleasedBytes) }})
	}
	all = append(all, column{"calls/s", func(f *Figure) string { return spread(f.CallsPerSecond) }})
	if s.Open == nil {
		all = append(all, column{"× " + reference, func(f *Figure) string { return orNothing("%.2f", f.Ratio.Median) }})
	}
	all = append(all,
		column{"p50 µs", func(f *Figure) string { return spread(f.P50Us) }},
		column{"p99", func(f *Figure) string { return spread(f.P99Us) }},
		column{"p99.9", func(f *Figure) string { return fmt.Sprintf("%.0f", f.P999Us.Median) }},
		column{"p99.99", func(f *Figure) string { return fmt.Sprintf("%.0f", f.P9999Us.Median) }})
	if s.Open != nil {
		all = append(all, column{"late p99", func(f *Figure) string { return fmt.Sprintf("%.0f", f.LateP99Us.Median) }})
	}
	return append(all,
		column{"server: CPU µs", func(f *Figure) string { return fmt.Sprintf("%.1f", f.Server.CPUUs) }},
		column{"allocs (bytes)", func(f *Figure) string { return fmt.Sprintf("%.1f (%.0f)", f.Server.Allocs, f.Server.Bytes) }},
		column{"reads", func(f *Figure) string { return fmt.Sprintf("%.2f", f.Server.Reads) }},
		column{"writes", func(f *Figure) string { return fmt.Sprintf("%.2f", f.Server.Writes) }},
		column{"GC/s", func(f *Figure) string { return fmt.Sprintf("%.0f", f.Server.GCsPerSecond) }},
		column{"client: CPU µs", func(f *Figure) string { return fmt.Sprintf("%.1f", f.Client.CPUUs) }},
		column{"allocs (bytes)", func(f *Figure) string { return fmt.Sprintf("%.1f (%.0f)", f.Client.Allocs, f.Client.Bytes) }},
		column{"", remark})
}

// remark returns what a reader has to know about a figure.
func remark(f *Figure) string {
	var all []string
	if f.Disturbed > 0 {
		all = append(all, fmt.Sprintf("%d disturbed", f.Disturbed))
	}
	if f.Error != "" {
		all = append(all, "failed once")
	}
	return strings.Join(all, ", ")
}

func spread(s Spread) string { return fmt.Sprintf("%.0f (%.0f–%.0f)", s.Median, s.Min, s.Max) }

func orNothing(format string, value float64) string {
	if value == 0 {
		return ""
	}
	return fmt.Sprintf(format, value)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// table has rows whose first cell is aligned to the left. A row with fewer cells than there are titles is a remark.
type table struct {
	titles []string
	rows   [][]string
}

func (t table) write(w io.Writer) {
	widths := make([]int, len(t.titles))
	for _, row := range append([][]string{t.titles}, t.rows...) {
		for i, cell := range row {
			if i == 0 || len(row) == len(widths) {
				widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			}
		}
	}
	for _, row := range append([][]string{t.titles}, t.rows...) {
		line := fmt.Sprintf("%-*s", widths[0], row[0])
		for i, cell := range row[1:] {
			line += fmt.Sprintf("  %*s", widths[i+1], cell)
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}
