package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/host/admin"
)

// trafficTable writes the calls of the last minute.
type trafficTable struct{ *printer }

// show writes a row for each method that was called, or for the busiest if there are many.
func (t *trafficTable) show(s *admin.Status) {
	const shown = 40
	type method struct {
		upstream, name string
		*admin.Traffic
	}
	var called []method
	for _, v := range s.Services {
		for i := range v.Methods {
			called = append(called, method{"", v.Name + "." + v.Methods[i].Name, &v.Methods[i].LastMinute})
		}
	}
	more := 0
	for _, u := range s.Upstreams {
		for i := range u.Methods {
			name := strings.Replace(u.Methods[i].Name, "/", ".", 1)
			called = append(called, method{u.Name, name, &u.Methods[i].LastMinute})
		}
		more += u.MethodsMore
	}
	called = slices.DeleteFunc(called, func(m method) bool { return m.Calls == 0 })
	if len(called) > shown {
		slices.SortStableFunc(called, func(a, b method) int { return cmp.Compare(b.Calls, a.Calls) })
		more += len(called) - shown
		called = called[:shown]
	}
	rows := [][]string{{"LAST MINUTE", "UPSTREAM", "CALLS", "CALLS/S", "FAILED", "REFUSED", "P50", "P99"}}
	for _, m := range called {
		rows = append(rows, append([]string{m.name, orDash(m.upstream)}, t.figures(m.Traffic)...))
	}
	t.section(withoutEmpty(rows, "UPSTREAM"))
	if more > 0 {
		t.line("and %d more: easymicro status -o json", more)
	}
}

func (t *trafficTable) figures(m *admin.Traffic) []string {
	return []string{
		fmt.Sprint(m.Calls), fmt.Sprintf("%.1f", m.CallsPerSecond), t.part(red, m.Failed, m.Calls), t.part(yellow, m.Refused, m.Calls),
		quantile(m.P50), quantile(m.P99),
	}
}

// part highlights a number above zero, and adds its share.
func (t *trafficTable) part(with paint, n, of uint64) string {
	if n == 0 || of == 0 {
		return t.notable(with, n)
	}
	return t.paint(with, fmt.Sprintf("%d (%s)", n, shareText(float64(n)/float64(of))))
}

// notable highlights a number above zero.
func (t *trafficTable) notable(with paint, n uint64) string {
	if n == 0 {
		with = plain
	}
	return t.paint(with, fmt.Sprint(n))
}

// quantile formats a duration with two significant digits: the host knows no more.
func quantile(s admin.Seconds) string {
	d, unit := time.Duration(s), time.Nanosecond
	for d >= 100*unit {
		unit *= 10
	}
	if d == 0 {
		return orDash("")
	}
	return d.Round(unit).String()
}
