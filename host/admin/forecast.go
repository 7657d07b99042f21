package admin

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/easymicro/easymicro/config"
)

// Forecast is what an edit would have done to the calls of the last five minutes.
type Forecast struct {
	WindowSeconds Seconds   `json:"window_seconds"`        // in which the calls came; at most five minutes
	Calls         uint64    `json:"calls"`                 // of the methods of this host
	Passed        uint64    `json:"passed"`                // of these, those that the rules in force let through
	NewlyRefused  uint64    `json:"newly_refused"`         // of these, those that the edit would refuse or time out, and is not meant to
	NotCounted    uint64    `json:"not_counted,omitempty"` // calls of methods that are not recorded apart, since there are too many
	Exceeds       string    `json:"exceeds,omitempty"`     // how the edit exceeds policies.autoRollback.maxNewRefusals
	Findings      []Finding `json:"findings"`
	More          int       `json:"more,omitempty"` // findings that are left out
}

// Finding is the forecast for one kind of a rule that the edit changes.
type Finding struct {
	Rule           string          `json:"rule,omitempty"` // empty: the change is not one of a rule
	Kind           config.Kind     `json:"kind,omitempty"`
	Change         string          `json:"change"`             // "rateLimit.rate 10000 → 1"
	Position       string          `json:"position,omitempty"` // file:line
	At             config.Position `json:"-"`                  // the same, with the column
	Calls          uint64          `json:"calls"`              // to which it applies
	CallsPerSecond float64         `json:"calls_per_second"`
	Refused        uint64          `json:"refused"` // calls that it would refuse or time out
	Share          float64         `json:"share"`   // of Calls
	RefusedBefore  uint64          `json:"refused_before"`
	Most           []Refused       `json:"most,omitempty"`         // the callers and methods with most refusals
	Rough          string          `json:"rough,omitempty"`        // why the numbers are rough
	NotCounted     uint64          `json:"not_counted,omitempty"`  // calls to which it may apply
	NotForecast    string          `json:"not_forecast,omitempty"` // why it cannot be forecast, or not for all calls
}

// Refused counts the calls of a caller to a method.
type Refused struct {
	Caller  string `json:"caller"`
	Method  string `json:"method"` // Service/Method
	Peer    string `json:"peer,omitempty"`
	Calls   uint64 `json:"calls"`
	Refused uint64 `json:"refused"`
}

// Lines returns one line for each finding; a nil Forecast has none.
func (f *Forecast) Lines() []string {
	switch {
	case f == nil:
		return nil
	case f.Calls+f.NotCounted == 0:
		return []string{"no calls in the last five minutes"}
	}
	var lines []string
	for i := range f.Findings {
		lines = append(lines, f.Findings[i].String())
	}
	if f.NotCounted > 0 {
		lines = append(lines, Thousands(f.NotCounted)+" further calls are not counted: there are too many methods to record the calls of each")
	}
	if f.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more changes", f.More))
	}
	return lines
}

// Short returns the forecast in a few words.
func (f *Forecast) Short() string {
	return "forecast: " + Percent(f.NewlyRefused, f.Passed) + " of " + Thousands(f.Passed) + " calls newly refused"
}

// String returns "arith-mul: rateLimit.rate 10000 → 1: would refuse 99.98 % of 5,012 calls/s; most affected: web to Arith.Mul".
func (f *Finding) String() string {
	var b strings.Builder
	if f.Rule != "" && !strings.Contains(f.Change, "rule "+f.Rule) {
		b.WriteString(f.Rule + ": ")
	}
	b.WriteString(f.Change + ": ")
	if !strings.Contains(f.Change, string(f.Kind)) {
		b.WriteString("its " + string(f.Kind) + " ")
	}
	switch {
	case f.NotForecast != "" && f.Calls == 0:
		b.WriteString("cannot be forecast: " + f.NotForecast)
		return b.String()
	case f.Calls == 0:
		b.WriteString("would have applied to no call")
		return b.String()
	}
	verb := "refuse"
	if f.Kind == config.KindTimeout {
		verb = "time out"
	}
	fmt.Fprintf(&b, "would %s %s of %s calls/s", verb, Percent(f.Refused, f.Calls), rate(f.CallsPerSecond))
	if f.RefusedBefore > 0 {
		fmt.Fprintf(&b, " (%s now)", Percent(f.RefusedBefore, f.Calls))
	}
	for i, m := range f.Most {
		b.WriteString([]string{"; most affected: ", ", "}[min(i, 1)])
		b.WriteString(m.String())
	}
	if f.Rough != "" {
		b.WriteString("; rough: " + f.Rough)
	}
	if f.NotForecast != "" {
		fmt.Fprintf(&b, "; not for %s further calls: %s", Thousands(f.NotCounted), f.NotForecast)
	}
	return b.String()
}

// String returns "web to Arith.Mul (99.9 %)".
func (r *Refused) String() string {
	who := r.Caller
	if r.Peer != "" {
		who += " from " + r.Peer
	}
	return fmt.Sprintf("%s to %s (%s)", who, strings.Replace(r.Method, "/", ".", 1), Percent(r.Refused, r.Calls))
}

// Percent returns a share as text: none, 0.02 %, 12.5 %, 99.98 % or all.
func Percent(n, of uint64) string {
	share := float64(n) / float64(of)
	switch {
	case n == 0:
		return "none"
	case n == of:
		return "all"
	}
	unit := 10.0
	if share < 0.01 || share > 0.99 {
		unit = 100
	}
	return strconv.FormatFloat(min(max(math.Round(100*share*unit), 1), 100*unit-1)/unit, 'f', -1, 64) + " %"
}

// Thousands returns a number with separators.
func Thousands(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// rate returns calls per second as text.
func rate(perSecond float64) string {
	if perSecond < 10 {
		return strconv.FormatFloat(max(math.Round(perSecond*100), 1)/100, 'f', -1, 64)
	}
	return Thousands(uint64(math.Round(perSecond)))
}
