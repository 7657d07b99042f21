package main

import (
	"fmt"
	"html"
	"strings"
	"time"
)

// Sizes of the plot, in pixels.
const (
	chartWidth  = 420
	chartHeight = 240
	chartGap    = 90
	chartTop    = 70
	plotMargin  = 60
)

// colors has a color for each rule, in their order.
var colors = []string{"#9ca3af", "#2563eb", "#0891b2", "#c2410c", "#7c3aed"}

// svg draws what was served, and how soon the rest was refused, by load: one row for each handler.
func (r *report) svg() string {
	var b strings.Builder
	height := chartTop + len(r.Series)*(chartHeight+chartGap) + 20
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d">
<style>text{font:12px sans-serif;fill:#222}.b{font-weight:bold}.s{font-size:11px;fill:#555}</style>
<rect width="100%%" height="100%%" fill="#fff"/>
`, 2*(chartWidth+plotMargin)+plotMargin, height)
	label(&b, plotMargin, 24, "start", "b", fmt.Sprintf("overload, %s: %d cores, %d of them for the host", r.Date.Format(time.DateOnly), r.Cores, r.HostCores))
	for i, s := range r.Series {
		y := chartTop + i*(chartHeight+chartGap)
		label(&b, plotMargin, y-22, "start", "b", s.Title)
		good := chart{x: plotMargin, y: y, most: 100, unit: "%", title: "served in time, of the peak"}
		soon := chart{x: 2*plotMargin + chartWidth, y: y, most: 30, unit: "ms", title: "refused within (p99)"}
		for _, c := range []*chart{&good, &soon} {
			c.frame(&b)
		}
		for n, rule := range s.Rules {
			color := colors[n%len(colors)]
			good.curve(&b, color, rule.Steps, func(t *step) (float64, bool) { return 100 * t.OfPeak, true })
			soon.curve(&b, color, rule.Steps, func(t *step) (float64, bool) { return t.RefuseP99, t.Refused > 0 })
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="10" height="10" fill="%s"/>`+"\n", plotMargin+n*130, y+chartHeight+32, color)
			label(&b, plotMargin+n*130+14, y+chartHeight+41, "start", "", rule.Name)
		}
	}
	return b.String() + "</svg>\n"
}

func label(b *strings.Builder, x, y int, anchor, class, text string) {
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="%s" class="%s">%s</text>`+"\n", x, y, anchor, class, html.EscapeString(text))
}

// chart has loads from 0 to 3 on its horizontal axis, and values up to most on the other.
type chart struct {
	x, y        int
	most        float64
	unit, title string
}

const mostLoad = 3.0

func (c *chart) at(load, value float64) (x, y int) {
	return c.x + int(load/mostLoad*chartWidth), c.y + chartHeight - int(min(value, c.most)/c.most*chartHeight)
}

func (c *chart) frame(b *strings.Builder) {
	label(b, c.x, c.y-6, "start", "s", c.title)
	for i := range 6 {
		value := c.most * float64(i) / 5
		x, y := c.at(0, value)
		fmt.Fprintf(b, `<line x1="%d" y1="%d" x2="%d" y2="%[2]d" stroke="#ddd"/>`+"\n", x, y, x+chartWidth)
		label(b, x-6, y+4, "end", "s", fmt.Sprintf("%.0f %s", value, c.unit))
	}
	for i := range 7 {
		x, y := c.at(float64(i)/2, 0)
		label(b, x, y+16, "middle", "s", fmt.Sprintf("%.1f×", float64(i)/2))
	}
}

func (c *chart) curve(b *strings.Builder, color string, steps []step, value func(*step) (float64, bool)) {
	var points []string
	for i := range steps {
		if v, ok := value(&steps[i]); ok {
			x, y := c.at(steps[i].Load, v)
			points = append(points, fmt.Sprintf("%d,%d", x, y))
			fmt.Fprintf(b, `<circle cx="%d" cy="%d" r="3" fill="%s"/>`+"\n", x, y, color)
		}
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(points, " "), color)
}
