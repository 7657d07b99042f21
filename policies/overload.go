package policies

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/code"
)

// unmeasured is the reason for which a rule that sheds has no effect.
const unmeasured = "refuses nothing: the CPU utilization cannot be measured on this system"

// shedRetryAfter is the minimum retry delay of a refusal: the utilization may have changed by then.
const shedRetryAfter = 100 * time.Millisecond

// refusalByLoad returns the refusal of a call of a priority, of which a share is refused.
func refusalByLoad(r *spec, l *Load, share float64, p limit.Priority) error {
	name := config.PriorityNormal
	for named, is := range priorityOf {
		if is == p {
			name = named
		}
	}
	what := fmt.Sprintf("%s: %.0f %% of the calls of %s priority are refused", cpuText(l, r.cpuAbove), 100*share, name)
	return r.Refuse(code.Unavailable, code.ReasonOverloaded, what, max(l.Over, shedRetryAfter)).OfKind(string(config.KindShed))
}

// shedState describes the CPU utilization, and which calls are refused because of it.
func shedState(r *spec, m *meter) string {
	if m.cpu == nil {
		return unmeasured
	}
	load := m.cpu()
	text := cpuText(&load, r.cpuAbove)
	if load.RefusedShare(r.cpuAbove, limit.PriorityLow) == 0 {
		return text + ": no call is refused"
	}
	var shares []string
	for _, p := range [...]config.Priority{config.PriorityLow, config.PriorityNormal, config.PriorityHigh} {
		shares = append(shares, fmt.Sprintf("%.0f %% of %s", 100*load.RefusedShare(r.cpuAbove, priorityOf[p]), p))
	}
	return text + ": " + strings.Join(shares, ", ") + " priority are refused"
}

// cpuText returns "CPU 93 % of 2 cores over the last 1s, above 85 %".
func cpuText(l *Load, above float64) string {
	if l.Cores == 0 {
		return "CPU not measured yet"
	}
	where, unit := "not above", "cores"
	if l.Utilization > above {
		where = "above"
	}
	if l.Cores == 1 {
		unit = "core"
	}
	cores := strconv.FormatFloat(math.Round(l.Cores*100)/100, 'f', -1, 64)
	text := fmt.Sprintf("CPU %.0f %% of %s %s", 100*l.Utilization, cores, unit)
	if l.Over > 0 {
		text += " over the last " + config.Duration(l.Over).String()
	}
	return text + fmt.Sprintf(", %s %.0f %%", where, 100*above)
}

// adaptiveState describes what a limit that adapts has learned, after a separator; empty if there is nothing.
func adaptiveState(a *limit.Adaptive, separator string) string {
	if a == nil {
		return ""
	}
	s := a.Stats()
	if s.Long == 0 {
		return ""
	}
	text := fmt.Sprintf("%scalls take %s, and %s when they do not wait for each other", separator, roughly(s.Short), roughly(s.Long))
	if s.Probing {
		text += " (half of the limit for a moment, to measure that)"
	}
	return text
}

// roughly rounds a duration to what matters of it.
func roughly(d time.Duration) time.Duration {
	switch {
	case d >= 100*time.Millisecond:
		return d.Round(time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}
