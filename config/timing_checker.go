package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/easymicro/easymicro/config/lint"
	"github.com/easymicro/easymicro/wire/code"
)

// timingChecker finds settings that disable each other, also across rules: the time that a call has, and what should
// happen within it.
type timingChecker struct {
	*report
	timeouts, retries, limits ruleIndex
	attempts                  int // maximum attempts of a call under any rule
	compared, patterns        int
}

// Bounds of the work for sets with thousands of globs and rules with thousands of patterns.
const (
	maxCompared = 200_000   // rules
	maxPatterns = 2_000_000 // pairs of them
)

func checkTimings(c *report) {
	p := &timingChecker{
		report:   c,
		timeouts: indexEnforced(c, func(r *Rule) bool { return r.Timeout != nil }),
		retries:  indexEnforced(c, func(r *Rule) bool { return r.Retry != nil }),
		limits:   indexEnforced(c, func(r *Rule) bool { return r.RateLimit != nil && len(r.RateLimit.Key) == 0 }),
		attempts: maxAttempts(c.rules),
	}
	for i := range c.rules {
		r := &c.rules[i]
		if c.idle(r) || len(subjects(r)) == 0 || !slices.ContainsFunc(r.Kinds(), Kind.timed) {
			continue
		}
		timeouts, retries := p.near(p.timeouts, r), p.near(p.retries, r)
		var limits []*Rule
		if r.CircuitBreaker != nil || r.Concurrency != nil {
			limits = p.near(p.limits, r)
		}
		if p.compared > maxCompared {
			return
		}
		patterns := p.patterns + patternsBeside(r, timeouts) + patternsBeside(r, retries) + patternsBeside(r, limits)
		if patterns > maxPatterns {
			continue
		}
		p.patterns = patterns
		whole, usual := longestOver(r, timeouts, "timeout", func(t *Rule) Duration { return *t.Timeout })
		try, usualTry := longestOver(r, retries, "retry.perTryTimeout", func(t *Rule) Duration { return t.Retry.PerTryTimeout })
		if r.CircuitBreaker != nil {
			p.window(r, usual, usualTry)
			p.slowCalls(r, whole, try)
			p.fewCalls(r, limits)
		}
		p.ofQueue(r, limits)
		p.ofRetry(r, whole)
		p.ofHedge(r, whole, try)
		p.ofWaits(r, whole)
		p.ofOutliers(r)
	}
}

// near returns the rules that may match calls of r.
func (p *timingChecker) near(index ruleIndex, r *Rule) []*Rule {
	list := index.about(r)
	p.compared += len(list)
	return list
}

// patternsBeside returns how many pairs of patterns a comparison of r with some rules takes.
func patternsBeside(r *Rule, list []*Rule) (n int) {
	pairs := func(a, b Patterns) int {
		if slices.Equal(a, b) {
			return len(a)
		}
		return len(a) * len(b)
	}
	m := &r.Match
	for _, t := range list {
		o := &t.Match
		n += pairs(m.Service, o.Service) + pairs(m.Method, o.Method) + pairs(m.Caller, o.Caller) + pairs(m.Peer, o.Peer) +
			pairs(m.Upstream, o.Upstream)
	}
	return n
}

func (p *timingChecker) slowCalls(r *Rule, whole, try longest) {
	d, path := r.CircuitBreaker.SlowCallDuration, "circuitBreaker.slowCallDuration"
	switch {
	case r.CircuitBreaker.SlowCallRate == 0 || d == 0:
	case try.within(d):
		p.rule(lint.SlowCallsBeyondTimeout, r, path, "no call takes %s, so none is slow: each attempt has %s; set it to %s, for example", d, try.in(r), try.part(2))
	case whole.within(d) && r.ClientSide():
		p.rule(lint.SlowCallsBeyondTimeout, r, path, "no call takes %s, so none is slow: %s; set it to %s, for example", d, whole.has(r), whole.part(2))
	case whole.within(d):
		p.rule(lint.SlowCallsBeyondTimeout, r, path,
			"no call that ends within its time, %s, takes %s: only a handler that keeps running is slow; set it to %s, for example",
			whole.in(r), d, whole.part(2))
	}
}

// fewCalls finds rates that never count because a limit lets too few calls through.
func (p *timingChecker) fewCalls(r *Rule, limits []*Rule) {
	b := r.CircuitBreaker
	if b.FailureRate == 0 && b.SlowCallRate == 0 || b.MinRequests == 0 {
		return
	}
	for _, t := range limits {
		l := t.RateLimit
		if !covers(&t.Match, &r.Match) || l.Rate <= 0 || l.Per <= 0 {
			continue
		}
		most := float64(l.Burst) + float64(l.Rate)*float64(b.Window)/float64(l.Per)
		if r.ClientSide() {
			most *= float64(p.attempts)
		}
		if most >= float64(b.MinRequests) {
			continue
		}
		path := "circuitBreaker.minRequests"
		if !r.at.written(path) {
			path = "circuitBreaker"
		}
		p.rule(lint.TooFewCalls, r, path, "minRequests (%d) is more than the %d calls that a rate limit lets through within %s (%s): the rates never count",
			b.MinRequests, int(most), b.Window, where(t, "rateLimit"))
		return
	}
}

// maxAttempts returns the maximum number of attempts of a call.
func maxAttempts(rules []Rule) int {
	most := 1
	for i := range rules {
		if t := rules[i].Retry; t != nil {
			most = max(most, t.MaxAttempts)
		}
		if h := rules[i].Hedge; h != nil {
			most = max(most, h.MaxAttempts)
		}
	}
	return most
}

// ofRetry finds attempts for which a call has no time.
func (p *timingChecker) ofRetry(r *Rule, whole longest) {
	t := r.Retry
	if t == nil || whole.of == nil || t.FailMode == Failfast {
		return
	}
	switch n := fit(whole.Duration, t.PerTryTimeout); {
	case t.PerTryTimeout == 0:
	case whole.within(t.PerTryTimeout):
		p.rule(lint.AttemptsBeyondTimeout, r, "retry.perTryTimeout", "%s has no effect: %s", t.PerTryTimeout, whole.has(r))
	case n < t.MaxAttempts:
		p.rule(lint.AttemptsBeyondTimeout, r, "retry.perTryTimeout",
			"%s is so long that attempt %d of %d is never made if those before it time out: %s; set it to %s, for example",
			t.PerTryTimeout, n+1, t.MaxAttempts, whole.has(r), whole.part(t.MaxAttempts))
	default:
		p.lastAttempt(r, whole)
	}
	if whole.within(t.InitialBackoff) && t.InitialBackoff <= t.MaxBackoff {
		p.rule(lint.BackoffBeyondTimeout, r, "retry.initialBackoff",
			"%s leaves retries no time: %s, and of the pauses, random from 0 up to it, at most %.0f %% are shorter; "+
				"set it to %s, for example",
			t.InitialBackoff, whole.has(r), 100*float64(whole.Duration)/float64(t.InitialBackoff), whole.part(10))
	}
}

// lastAttempt finds attempts that fit into a call, but for more than a tenth of the last one, with the longest pauses between them.
func (p *timingChecker) lastAttempt(r *Rule, whole longest) {
	t := r.Retry
	attempts := t.PerTryTimeout * Duration(t.MaxAttempts)
	var pauses Duration
	for i, pause := 1, t.InitialBackoff; i < t.MaxAttempts; i, pause = i+1, 2*pause {
		pauses += min(pause, t.MaxBackoff)
	}
	if attempts+pauses <= whole.Duration+t.PerTryTimeout/10 {
		return
	}
	way := "shorten the pauses"
	if left := (whole.Duration - pauses) / Duration(t.MaxAttempts); left >= Duration(time.Millisecond) {
		way = "set it to " + left.Std().Truncate(time.Millisecond).String()
	}
	p.rule(lint.AttemptsBeyondTimeout, r, "retry.perTryTimeout",
		"%d attempts of %s and the pauses between, up to %s, take %s, and %s: the last one is cut off; %s, for example",
		t.MaxAttempts, t.PerTryTimeout, pauses, attempts+pauses, whole.has(r), way)
}

// ofQueue finds queues that are longer than what a rate limit lets through while a call waits in them.
func (p *timingChecker) ofQueue(r *Rule, limits []*Rule) {
	q := r.Concurrency
	if q == nil || q.Queue == 0 {
		return
	}
	for _, t := range limits {
		l := t.RateLimit
		if !covers(&t.Match, &r.Match) || l.Rate <= 0 || l.Per <= 0 {
			continue
		}
		if most := float64(l.Burst) + float64(l.Rate)*float64(q.QueueTimeout)/float64(l.Per); most < float64(q.Queue) {
			p.rule(lint.QueueNeverFills, r, "concurrency.queue", "%d is more than the %d calls that a rate limit lets through within queueTimeout, %s (%s): "+
				"it never fills; set it to %d, or raise burst (%d)", q.Queue, int(most), q.QueueTimeout, where(t, "rateLimit"), int(most), l.Burst)
			return
		}
	}
}

func (p *timingChecker) ofHedge(r *Rule, whole, try longest) {
	h := r.Hedge
	if h == nil {
		return
	}
	switch n := fit(whole.Duration, h.Delay); {
	case whole.within(h.Delay):
		p.rule(lint.HedgeBeyondTimeout, r, "hedge.delay", "%s has no effect: %s", h.Delay, whole.has(r))
	case try.within(h.Delay):
		p.rule(lint.HedgeBeyondTimeout, r, "hedge.delay", "%s has no effect: each attempt has %s, and another one is made when it ends", h.Delay, try.in(r))
	case whole.of != nil && n < h.MaxAttempts:
		p.rule(lint.HedgeBeyondTimeout, r, "hedge.delay", "%s is so long that attempt %d of %d is never made if those before it hang: %s; set it to %s, for example",
			h.Delay, n+1, h.MaxAttempts, whole.has(r), whole.part(h.MaxAttempts))
	}
}

// ofWaits finds waits that outlast the call.
func (p *timingChecker) ofWaits(r *Rule, whole longest) {
	if whole.of == nil {
		return
	}
	if l := r.RateLimit; l != nil && l.OnExceed == OnExceedWait && l.MaxWait > whole.Duration && r.at.written("rateLimit.maxWait") {
		p.rule(lint.WaitBeyondTimeout, r, "rateLimit.maxWait", "%s is never reached: %s", l.MaxWait, whole.has(r))
	}
	if q := r.Concurrency; q != nil && q.Queue > 0 && q.QueueTimeout > whole.Duration && r.at.written("concurrency.queueTimeout") {
		p.rule(lint.WaitBeyondTimeout, r, "concurrency.queueTimeout", "%s is never reached: %s", q.QueueTimeout, whole.has(r))
	}
}

// ofOutliers finds percentages of so few endpoints that none may be ejected.
func (p *timingChecker) ofOutliers(r *Rule) {
	o := r.OutlierDetection
	if o == nil || o.MaxEjectionPercent == 0 {
		return
	}
	upstreams, paths := p.called(r)
	for i, u := range upstreams {
		n := len(u.Resolve.Endpoints)
		if n == 0 || min(n*o.MaxEjectionPercent/100, n-1) > 0 {
			continue
		}
		path, what := "outlierDetection", fmt.Sprintf("of %d endpoints at most %d %% may be ejected (maxEjectionPercent), which is none", n, o.MaxEjectionPercent)
		if r.at.written(path + ".maxEjectionPercent") {
			path += ".maxEjectionPercent"
		}
		if n == 1 {
			what = "it has one endpoint, and one always stays"
		}
		p.rule(lint.NoneEjected, r, path, "ejects no endpoint of %s: %s (%s)", u.Name, what, p.m.Position(paths[i]+".resolve.endpoints"))
	}
}

// where returns the position of a part of a rule, or the name of the rule.
func where(r *Rule, path string) string {
	if at := r.Position(path); !at.IsZero() {
		return at.String()
	}
	return "rule " + r.Name
}

// ruleIndex indexes enforced rules.
type ruleIndex struct {
	has    func(*Rule) bool
	all    []*Rule            // in the order of the set
	byName map[string][]*Rule // by service or upstream; "" for globs and rules without either
}

func indexEnforced(c *report, has func(*Rule) bool) ruleIndex {
	index := ruleIndex{has: has, byName: map[string][]*Rule{}}
	for i := range c.rules {
		r := &c.rules[i]
		if !has(r) || c.idle(r) || !r.enforcedForAll() {
			continue
		}
		index.all = append(index.all, r)
		about := subjects(r)
		if slices.ContainsFunc(about, isGlob) || len(about) == 0 {
			about = Patterns{""}
		}
		for _, name := range about {
			index.byName[name] = append(index.byName[name], r)
		}
	}
	return index
}

// about returns the rules that may match calls of r, and r itself, as if it were enforced.
func (x ruleIndex) about(r *Rule) []*Rule {
	names, list := subjects(r), slices.Clone(x.byName[""])
	if slices.ContainsFunc(names, isGlob) {
		names, list = nil, slices.Clone(x.all)
	}
	seen := map[*Rule]bool{} // rules may share several names
	for _, name := range names {
		for _, t := range x.byName[name] {
			if !seen[t] {
				seen[t] = true
				list = append(list, t)
			}
		}
	}
	if x.has(r) && !r.enforcedForAll() {
		list = append(list, r)
	}
	return list
}

// window warns of breakers that never see a timeout: an outcome counts in the tenth of the window in which its call
// or attempt began, and is dropped if that tenth has expired. Breakers that count slow calls use the end of a call.
func (p *timingChecker) window(r *Rule, whole, try longest) {
	b := r.CircuitBreaker
	if b.FailureRate == 0 || b.SlowCallRate > 0 || !slices.Contains(b.FailOn, code.DeadlineExceeded.String()) {
		return
	}
	bound, of, one := whole, "timeout of its calls", "a call"
	if try.of != nil && (whole.of == nil || try.Duration < whole.Duration) {
		bound, of, one = try, "perTryTimeout of its attempts", "an attempt"
	}
	if bound.of == nil || b.Window-b.Window/10 >= bound.Duration {
		return
	}
	p.rule(lint.WindowTooShort, r, "circuitBreaker.window", "%s is too short for the %s (%s in %s): %s that times out is forgotten before it counts; "+
		"set window to %s, for example", b.Window, of, bound.Duration, where(bound.of, bound.path), one, 2*bound.Duration)
}

// subjects returns the services of a rule, or its upstreams, which are told apart from services.
func subjects(r *Rule) Patterns {
	if !r.ClientSide() {
		return r.Match.Service
	}
	named := make(Patterns, len(r.Match.Upstream))
	for i, name := range r.Match.Upstream {
		named[i] = "upstream " + name
	}
	return named
}

// narrowestOver returns the narrowest rule that matches every call of r, preferring r if it ties.
func narrowestOver(r *Rule, list []*Rule) *Rule {
	var best *Rule
	var narrowest rank
	for _, t := range list {
		if t != r && !covers(&t.Match, &r.Match) {
			continue
		}
		least, _ := ranks(&t.Match, &r.Match)
		if c := least.compare(narrowest); best == nil || c > 0 || c == 0 && t == r {
			best, narrowest = t, least
		}
	}
	return best
}
