package config

import (
	"fmt"
	"strings"
	"time"
)

// longest is an upper bound for the time of a call, and the rule that sets it; nil for none.
type longest struct {
	of *Rule
	Duration
	path string
}

// in returns the time and the field that sets it, with a position if that is not in r.
func (b longest) in(r *Rule) string {
	field := b.path[strings.LastIndexByte(b.path, '.')+1:]
	if b.of == r {
		return fmt.Sprintf("%s (%s)", b.Duration, field)
	}
	return fmt.Sprintf("%s (%s in %s)", b.Duration, field, where(b.of, b.path))
}

// within reports whether there is a bound that d reaches.
func (b longest) within(d Duration) bool { return b.of != nil && d >= b.Duration }

// longestOver returns the longest time that any call of r may have, and the usual one: that of the narrowest rule
// over all of its calls. A rule without the time (0) sets no bound.
func longestOver(r *Rule, near []*Rule, path string, length func(*Rule) Duration) (slowest, usual longest) {
	widest := narrowestOver(r, near)
	if widest == nil || length(widest) == 0 {
		return longest{}, longest{}
	}
	usual = longest{widest, length(widest), path}
	slowest = usual
	least, _ := ranks(&widest.Match, &r.Match)
	for _, t := range near {
		if t == widest || !overlap(&t.Match, &r.Match) {
			continue
		}
		if _, most := ranks(&t.Match, &r.Match); most.compare(least) <= 0 {
			continue
		}
		if length(t) == 0 {
			return longest{}, usual
		}
		if length(t) > slowest.Duration {
			slowest = longest{t, length(t), path}
		}
	}
	return slowest, usual
}

// has returns how long a call of a rule may take.
func (b longest) has(r *Rule) string { return "the whole call has " + b.in(r) }

// fit returns how many steps of d begin within whole.
func fit(whole, d Duration) int {
	if d <= 0 {
		return 0
	}
	return int((whole + d - 1) / d)
}

// part returns an n-th of the time in whole milliseconds, at least one.
func (b longest) part(n int) Duration {
	return Duration(max((b.Std() / time.Duration(n)).Truncate(time.Millisecond), time.Millisecond))
}
