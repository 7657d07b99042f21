package rig

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"math"
	"strings"
	"time"
)

// Sizes of the plot, in pixels.
const (
	plotWidth  = 1100
	nameWidth  = 190
	chartWidth = 380
	valueWidth = 70
	rowHeight  = 18
	margin     = 24
	titleSpace = 44
)

// WriteSVG draws the throughput and the latency of the scenarios that are closed loops without work in the handlers.
func (r *Report) WriteSVG(w io.Writer) error {
	p := &plot{y: margin}
	p.text(margin, p.y+6, "start", "b", fmt.Sprintf("easymicro benchmark, %s: %d cores, %s", r.Date.Format(time.DateOnly), r.Machine.Cores, r.Machine.CPU))
	p.y += margin
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		if s.Open != nil || s.Hold || s.Spin > 0 || s.Handler != "" {
			continue
		}
		var drawn []*Figure
		for _, f := range r.of(s) {
			if f.CallsPerSecond.Median > 0 {
				drawn = append(drawn, f)
			}
		}
		if len(drawn) > 0 {
			p.scenario(s, drawn)
		}
	}
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d">
<style>text{font:12px sans-serif;fill:#222}.b{font-weight:bold}.s{font-size:11px;fill:#555}</style>
<rect width="100%%" height="100%%" fill="#fff"/>
%s</svg>
`, plotWidth, p.y+margin, p.body.String())
	return err
}

// plot is an SVG that grows downwards.
type plot struct {
	body bytes.Buffer
	y    int
}

func (p *plot) text(x, y int, anchor, class, text string) {
	fmt.Fprintf(&p.body, `<text x="%d" y="%d" text-anchor="%s" class="%s">%s</text>`+"\n", x, y, anchor, class, html.EscapeString(text))
}

func (p *plot) line(x1, y1, x2, y2 int, color string, width float64) {
	fmt.Fprintf(&p.body, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s" stroke-width="%.1f"/>`+"\n", x1, y1, x2, y2, color, width)
}

// scenario draws two charts beside each other: throughput as bars with their range, latency from p50 to p99.9 on a logarithmic
// axis.
func (p *plot) scenario(s *Scenario, figures []*Figure) {
	left := margin + nameWidth
	right := left + chartWidth + valueWidth + margin
	p.y += titleSpace
	p.text(margin, p.y-20, "start", "b", strings.ToUpper(s.Name[:1])+s.Name[1:]+": "+s.Title)
	p.text(left, p.y-4, "start", "s", "calls per second, median and range")
	p.text(right, p.y-4, "start", "s", "latency: p50 (dot), p99 (bar), p99.9 (end of the line), logarithmic")
	most, axis := 0.0, newLogAxis(figures)
	for _, f := range figures {
		most = max(most, f.CallsPerSecond.Max)
	}
	top := p.y
	for decade := axis.low; decade <= axis.high; decade++ {
		x := right + axis.at(math.Pow10(decade))
		p.line(x, top, x, top+len(figures)*rowHeight, "#ddd", 1)
		p.text(x, top+len(figures)*rowHeight+12, "middle", "s", micros(math.Pow10(decade)))
	}
	for _, f := range figures {
		p.row(f, left, right, most, axis)
		p.y += rowHeight
	}
	p.y += margin / 2
}

func (p *plot) row(f *Figure, left, right int, most float64, axis logAxis) {
	color := colorOf(f.Contestant)
	middle := p.y + rowHeight/2
	scale := func(v float64) int { return left + int(v/most*chartWidth) }
	p.text(left-8, middle+4, "end", "", f.Contestant)
	fmt.Fprintf(&p.body, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`+"\n", left, p.y+3, scale(f.CallsPerSecond.Median)-left, rowHeight-6, color)
	p.line(scale(f.CallsPerSecond.Min), middle, scale(f.CallsPerSecond.Max), middle, "#222", 1.5)
	p.text(scale(f.CallsPerSecond.Max)+6, middle+4, "start", "s", fmt.Sprintf("%.0f", f.CallsPerSecond.Median))
	p50, p99, p999 := right+axis.at(f.P50Us.Median), right+axis.at(f.P99Us.Median), right+axis.at(f.P999Us.Median)
	p.line(p50, middle, p999, middle, color, 2)
	p.line(p99, middle-5, p99, middle+5, color, 3)
	fmt.Fprintf(&p.body, `<circle cx="%d" cy="%d" r="4" fill="%s"/>`+"\n", p50, middle, color)
}

// colorOf tells our contestants, the floors and the peers apart.
func colorOf(contestant string) string {
	switch {
	case strings.Contains(contestant, "easymicro"):
		return "#c2410c"
	case strings.HasPrefix(contestant, "mux"), strings.HasSuffix(contestant, "+pb") && !strings.HasPrefix(contestant, "net/"):
		return "#9ca3af"
	default:
		return "#2563eb"
	}
}

// logAxis has whole decades of microseconds.
type logAxis struct{ low, high int }

func newLogAxis(figures []*Figure) logAxis {
	low, high := math.Inf(1), 1.0
	for _, f := range figures {
		low, high = min(low, f.P50Us.Median), max(high, f.P999Us.Median)
	}
	a := logAxis{int(math.Floor(math.Log10(max(low, 1)))), int(math.Ceil(math.Log10(high)))}
	a.high = max(a.high, a.low+1)
	return a
}

// at returns the position of a latency.
func (a logAxis) at(us float64) int {
	position := (math.Log10(max(us, 1)) - float64(a.low)) / float64(a.high-a.low)
	return int(min(max(position, 0), 1) * chartWidth)
}

func micros(us float64) string {
	return (time.Duration(us) * time.Microsecond).String()
}
