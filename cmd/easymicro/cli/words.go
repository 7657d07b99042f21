package cli

import (
	"fmt"
	"time"
)

// ago is a time as a person tells it: "12s ago".
func ago(t time.Time) string {
	switch d := time.Since(t); {
	case t.IsZero():
		return "never"
	case d < time.Second:
		return "just now"
	case d > 48*time.Hour:
		return t.Local().Format("2006-01-02 15:04")
	default:
		return span(d) + " ago"
	}
}

// span is a duration in its two largest units.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
}

// orDash stands in for what is empty in a table.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func count(n int, thing string) string {
	switch {
	case n == 1:
		return "1 " + thing
	case n == 0:
		return "no " + thing + "s"
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
