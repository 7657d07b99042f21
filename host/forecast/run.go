package forecast

import (
	"math"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

// run has the rules of one side decide on the record, as they would have from full buckets and closed breakers on.
type run struct {
	rec      *record
	next     bool // the side after the edit
	rules    *policies.Snapshot
	outcomes []outcome // by cell
	tallies  map[ruleKind]*tally
	buckets  buckets
	breakers map[breakerKey]*breaker // nil: they are the same on both sides
}

type ruleKind struct {
	rule string
	kind config.Kind
}

// outcome is how many calls of a cell are refused or ended: by limits, by all rules, and by those that mean to.
type outcome struct{ limited, refused, intended float64 }

// tally counts the calls that a kind of a rule applies to.
type tally struct {
	met, refused float64
	by           map[int]float64 // refused, by cell
	undecided    float64
	why          string
}

type breakerKey struct {
	rule   string
	target policies.Target
}

func newRun(rec *record, side *Side, next, breakers bool) *run {
	r := &run{
		rec: rec, next: next, rules: side.Rules, outcomes: make([]outcome, len(rec.cells)), tallies: make(map[ruleKind]*tally),
		buckets: make(buckets),
	}
	if breakers {
		r.breakers = make(map[breakerKey]*breaker)
	}
	for i := range rec.cells {
		for _, u := range r.meeting(i).Undecided {
			t := r.tally(u.Name, u.Kind)
			t.undecided, t.why = t.undecided+rec.cells[i].all.calls, u.Why
		}
	}
	for i := range rec.spans {
		r.span(&rec.spans[i])
	}
	return r
}

func (r *run) meeting(cell int) *policies.Meeting {
	if r.next {
		return &r.rec.cells[cell].next
	}
	return &r.rec.cells[cell].old
}

func (r *run) tally(rule string, kind config.Kind) *tally {
	k := ruleKind{rule, kind}
	t := r.tallies[k]
	if t == nil {
		t = &tally{by: make(map[int]float64)}
		r.tallies[k] = t
	}
	return t
}

// of returns the tally of a kind of a rule, which may be nil; nil: it applies to no call.
func (r *run) of(rule *config.Rule, kind config.Kind) *tally {
	if rule == nil {
		return nil
	}
	return r.tallies[ruleKind{rule.Name, kind}]
}

// span decides on the calls of some seconds, kind by kind: pass is how many calls of each load are left.
func (r *run) span(s *span) {
	pass := make([]float64, len(s.loads))
	for i := range s.loads {
		l := &s.loads[i]
		pass[i] = l.calls
		m := r.meeting(l.cell)
		for _, rule := range m.Access {
			r.tally(rule.Name, config.KindAccess).met += l.calls
		}
		if m.Denied != nil {
			r.refuse(pass, i, l.cell, m.Denied, config.KindAccess, l.calls)
		}
	}
	r.rateLimits(s, pass)
	r.breakersOpen(s, pass)
	r.concurrency(s, pass)
	for i := range s.loads {
		r.timeout(&s.loads[i], pass, i)
	}
}

// refuse takes n calls of a load away.
func (r *run) refuse(pass []float64, i, cell int, rule *config.Rule, kind config.Kind, n float64) {
	n = min(n, pass[i])
	if n <= 0 {
		return
	}
	pass[i] -= n
	t, o := r.tally(rule.Name, kind), &r.outcomes[cell]
	t.refused += n
	t.by[cell] += n
	o.refused += n
	if kind.ByNumber() {
		o.limited += n
	}
	if r.rules.Intends(rule.Name, kind, &r.rec.cells[cell].Calls) {
		o.intended += n
	}
}

// rateLimits fills the buckets for the length of a span and empties them evenly.
func (r *run) rateLimits(s *span, pass []float64) {
	var demands []demand
	for i := range s.loads {
		l := &s.loads[i]
		m := r.meeting(l.cell)
		if len(m.RateLimits) == 0 {
			continue
		}
		d := demand{load: i, calls: pass[i]}
		for _, limit := range m.RateLimits {
			r.tally(limit.Name, config.KindRateLimit).met += l.calls
			d.of = append(d.of, r.buckets.of(&limit))
		}
		demands = append(demands, d)
	}
	r.buckets.serve(demands, s.length)
	for i := range demands {
		d := &demands[i]
		lacking := d.lacking()
		for _, b := range d.of {
			r.refuse(pass, d.load, s.loads[d.load].cell, b.rule, config.KindRateLimit, d.refusedBy(b, lacking))
		}
	}
	r.buckets.refill(s.length)
}

// breakersOpen has the breakers of methods see the outcomes that were recorded.
func (r *run) breakersOpen(s *span, pass []float64) {
	if r.breakers == nil {
		return
	}
	seen := make(map[breakerKey]*observed)
	for i := range s.loads {
		l := &s.loads[i]
		c, m := &r.rec.cells[l.cell], r.meeting(l.cell)
		if m.Breaker == nil {
			continue
		}
		r.tally(m.Breaker.Name, config.KindCircuitBreaker).met += l.calls
		k := breakerKey{m.Breaker.Name, c.Target}
		o := seen[k]
		if o == nil {
			o = &observed{rule: m.Breaker}
			seen[k] = o
		}
		o.loads = append(o.loads, i)
		o.calls += pass[i]
		o.add(l, c, r.timedOut(l))
	}
	for k, o := range seen {
		b := r.breakers[k]
		if b == nil {
			b = newBreaker(o.rule.CircuitBreaker)
			r.breakers[k] = b
		}
		share := b.run(s.length, o, max(maxSteps/len(seen), minSteps))
		for _, i := range o.loads {
			r.refuse(pass, i, s.loads[i].cell, o.rule, config.KindCircuitBreaker, share*pass[i])
		}
	}
}

// concurrency compares the calls in flight, as many as come while one runs, with the limits.
func (r *run) concurrency(s *span, pass []float64) {
	type crowd struct {
		rule            *config.Rule
		loads           []int
		calls, inFlight float64
	}
	crowds := make(map[string]*crowd)
	var order []*crowd
	for i := range s.loads {
		l := &s.loads[i]
		for _, rule := range r.meeting(l.cell).Concurrency {
			r.tally(rule.Name, config.KindConcurrency).met += l.calls
			c := crowds[rule.Name]
			if c == nil {
				c = &crowd{rule: rule}
				crowds[rule.Name], order = c, append(order, c)
			}
			c.loads = append(c.loads, i)
			c.calls += pass[i]
			c.inFlight += pass[i] * r.mean(l) / s.length.Seconds()
		}
	}
	for _, c := range order {
		limit := c.rule.Concurrency
		queue, maximum := float64(limit.Queue), limit.Max
		if limit.Adaptive != nil {
			maximum = limit.Adaptive.Max
		}
		if c.calls > 0 && c.inFlight > 0 {
			mean := c.inFlight * s.length.Seconds() / c.calls
			queue = min(queue, float64(maximum)*limit.QueueTimeout.Std().Seconds()/mean)
		}
		share := overflow(c.inFlight, maximum, int(queue))
		for _, i := range c.loads {
			r.refuse(pass, i, s.loads[i].cell, c.rule, config.KindConcurrency, share*pass[i])
		}
	}
}

// mean returns the mean duration of the calls of a load in seconds.
func (r *run) mean(l *load) float64 {
	if l.judged == 0 {
		l = &r.rec.cells[l.cell].all
	}
	if l.judged == 0 {
		return 0
	}
	return l.took / l.judged
}

// timeout ends the calls that took longer.
func (r *run) timeout(l *load, pass []float64, i int) {
	rule := r.meeting(l.cell).Timeout
	if rule == nil {
		return
	}
	t := r.tally(rule.Name, config.KindTimeout)
	if r.rec.cells[l.cell].latency.IsEmpty() {
		t.undecided, t.why = t.undecided+l.calls, "no call of the method in the last minute, from which the durations are, has run"
		return
	}
	t.met += l.calls
	r.refuse(pass, i, l.cell, rule, config.KindTimeout, pass[i]*r.timedOut(l))
}

// timedOut returns the share of the calls of a load that the timeout ends. Those that were ended by that of the rules before took
// longer than it, and nobody knows how long.
func (r *run) timedOut(l *load) float64 {
	c := &r.rec.cells[l.cell]
	rule, share := r.meeting(l.cell).Timeout, 0.0
	if rule == nil {
		return 0
	}
	if c.all.judged > 0 {
		share = c.all.timedOut / c.all.judged
	}
	if before := c.old.Timeout; before != nil && *before.Timeout <= *rule.Timeout {
		return share
	}
	return math.Max(share, c.latency.Above(rule.Timeout.Std()))
}

// observed is what a breaker sees of the calls of a span.
type observed struct {
	rule                 *config.Rule
	loads                []int
	calls                float64 // that come
	judged, failed, late float64
}

func (o *observed) add(l *load, c *cell, timedOut float64) {
	settings := o.rule.CircuitBreaker
	counts := func(is code.Code) bool {
		for _, name := range settings.FailOn {
			if parsed, ok := code.Parse(name); ok && parsed == is {
				return true
			}
		}
		return false
	}
	if l.judged == 0 {
		l = &c.all
	}
	for is, n := range l.byCode {
		if is := code.Code(is); counts(is) {
			o.failed += n
			if is == code.DeadlineExceeded {
				o.failed += max(timedOut*l.judged-l.timedOut, 0)
			}
		}
	}
	o.judged += l.judged
	if d := settings.SlowCallDuration.Std(); d > 0 {
		o.late += l.judged * c.latency.Above(d)
	}
}

// of returns a number of calls as a ratio of the judged ones.
func (o *observed) of(n float64) float64 {
	if o.judged == 0 {
		return 0
	}
	return min(n/o.judged, 1)
}
