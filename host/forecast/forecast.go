// Package forecast tells what an edit would have done to recorded calls: it evaluates the rules before and after the edit for them.
package forecast

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/traffic"
	"github.com/easymicro/easymicro/policies"
)

// Side is a set with its compiled rules.
type Side struct {
	Set   *config.Set
	Rules *policies.Snapshot
}

// Edit is a change of the rules.
type Edit struct {
	Old, Next Side
	Changes   config.Changes
	Bounds    *config.AutoRollback // that the forecast is compared with; nil: none
}

// Traffic is what is known about the calls of the last minutes.
type Traffic struct {
	Spans   []traffic.Span
	Latency func(method string) traffic.Latency // of a method, given as Service/Method
}

const (
	maxFindings = 20
	maxMost     = 3
)

// Of returns what an edit would have done to the traffic; nil if it changes nothing that could refuse a call.
func Of(e *Edit, t *Traffic) *admin.Forecast {
	subjects, others := newDifference(e).subjects()
	if len(subjects)+len(others) == 0 {
		return nil
	}
	r := newRecord(e, t)
	f := &admin.Forecast{WindowSeconds: admin.Seconds(r.length), Calls: whole(r.calls), NotCounted: whole(r.unnamed), Findings: []admin.Finding{}}
	breakers := slices.ContainsFunc(subjects, func(s subject) bool {
		return s.kind == config.KindCircuitBreaker || s.kind == config.KindTimeout
	})
	old, next := newRun(r, &e.Old, false, breakers), newRun(r, &e.Next, true, breakers)
	compare(f, e, r, old, next)
	for _, s := range subjects {
		f.Findings = append(f.Findings, s.finding(r, old, next))
	}
	f.Findings = append(f.Findings, others...)
	if len(f.Findings) > maxFindings {
		slices.SortStableFunc(f.Findings, func(a, b admin.Finding) int { return cmp.Compare(b.Refused, a.Refused) })
		f.More = len(f.Findings) - maxFindings
		f.Findings = f.Findings[:maxFindings]
	}
	return f
}

// compare adds how many calls are newly refused, and whether they are too many.
func compare(f *admin.Forecast, e *Edit, r *record, old, next *run) {
	byMethod := make(map[string]*newly)
	for i := range r.cells {
		c := &r.cells[i]
		n := byMethod[c.method]
		if n == nil {
			n = new(newly)
			byMethod[c.method] = n
		}
		n.add(c.all.calls, old.outcomes[i], next.outcomes[i])
	}
	var all newly
	var worst string
	for _, method := range slices.Sorted(maps.Keys(byMethod)) {
		n := byMethod[method]
		all.passed, all.refused = all.passed+n.passed, all.refused+n.net()
		if n.exceeds(e.Bounds) && (worst == "" || n.net() > byMethod[worst].net()) {
			worst = method
		}
	}
	f.Passed, f.NewlyRefused = whole(all.passed), whole(all.refused)
	switch {
	case all.exceeds(e.Bounds):
		f.Exceeds = all.text("", e.Bounds)
	case worst != "":
		f.Exceeds = byMethod[worst].text(" of "+worst, e.Bounds)
	}
}

// newly counts calls that pass before the edit, and those of them that it refuses.
type newly struct{ passed, refused, limited, instead float64 }

func (n *newly) add(calls float64, old, next outcome) {
	n.passed += calls - old.refused
	switch more := next.refused - next.intended - old.refused; {
	case more > 0:
		n.refused += more
		n.limited += min(more, max(next.limited-old.limited, 0))
	default:
		n.instead += min(-more, max(old.limited-next.limited, 0))
	}
}

// net returns the newly refused calls. Those that a limit lets through in place of others make up for these.
func (n *newly) net() float64 { return n.refused - min(n.limited, n.instead) }

func (n *newly) exceeds(b *config.AutoRollback) bool {
	const one = 0.5 // call, rounded
	return b != nil && n.passed+one >= float64(b.MinRequests) && n.net() >= one && n.net() > float64(b.MaxNewRefusals)*n.passed
}

func (n *newly) text(of string, b *config.AutoRollback) string {
	passed := whole(n.passed)
	return fmt.Sprintf("it would refuse or time out %s of the %s calls%s that passed in the last five minutes; policies.autoRollback.maxNewRefusals is %s",
		admin.Percent(min(uint64(math.Ceil(n.net())), passed), passed), admin.Thousands(passed), of, b.MaxNewRefusals)
}
