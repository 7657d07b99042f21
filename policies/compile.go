package policies

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/lint"
	"github.com/easymicro/easymicro/wire/client"
)

// Compile compiles rules for a host that serves targets. The rules are complete and valid, as config loads them or
// config.CompleteRules returns them, and belong to the snapshot from then on. prev is the snapshot in force, nil at start:
// rules keep the state of rules of the same name. prev is activated, if it has not been yet; apart from that it is unchanged
// until the new snapshot is activated, and one that never is leaves no trace. The error is config.Problems: too many rules
// for one method, or text that validation should have refused.
func Compile(rules []config.Rule, targets []Target, prev *Snapshot, o Options) (s *Snapshot, err error) {
	at := "in the rules"
	err = config.Contain(func() string { return at }, func() error {
		s, err = compile(rules, targets, prev, o, func(r *config.Rule) { at = config.InRule(r) })
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// compile is Compile without a guard against panics. It calls begin before it handles a rule by itself.
func compile(rules []config.Rule, targets []Target, prev *Snapshot, o Options, begin func(*config.Rule)) (*Snapshot, error) {
	s := &Snapshot{
		revision: o.Revision, host: o.Host, lineage: lineage{sink: new(sink), pool: o.Pool, meter: &meter{cpu: o.CPU}},
		byName: make(map[string]*rule, len(rules)), guards: make(map[Target]*Guard, len(targets)),
		neighbours: neighbours{aliases: o.Aliases, upstreams: o.Upstreams, remote: o.Remote},
	}
	if o.Allowed != nil {
		s.neighbours.allowed = compileGlobs(o.Allowed)
	}
	s.facts = sync.OnceValue(func() *facts { return newFacts(s) })
	s.nothing = newGuard(&s.activation, s.host, &subject{}, nil)
	if prev != nil {
		prev.Activate() // the new rules build on its state, so that no change of it may be pending: it is activated by its first call
		s.sink, s.pool, s.orders = prev.sink, cmp.Or(s.pool, prev.pool), prev.orders
	}
	s.pool = cmp.Or(s.pool, new(client.Pool))
	if err := addRules(s, rules, &o, begin); err != nil {
		return nil, err
	}
	s.inbound, s.outbound = newIndexes(s.rules)
	matching := matchTargets(s, targets)
	if problems := append(tooMany(s, targets, matching), tooManyCalled(s)...); len(problems) > 0 {
		return nil, problems.Sort()
	}
	old := predecessors(s.rules, prev)
	for _, r := range s.rules {
		begin(r.config)
		s.changes = append(s.changes, r.inherit(old[r], &s.lineage)...)
	}
	if o.Restore != nil {
		s.changes = append(s.changes, func() { o.Restore.restore(s) })
	}
	if o.OnTransition != nil {
		s.changes = append(s.changes, func() { s.sink.notify.Store(&o.OnTransition) })
	}
	for _, r := range s.rules {
		if holds := holdsOf(o.Holds, r.name); r.breaker != nil && (holds != nil || r.store.holds.Load() != nil) {
			s.changes = append(s.changes, func() { r.store.hold(holds) })
		}
	}
	s.changes = append(s.changes, func() { s.pool.OnChange(s.endpointsChanged) })
	for t, rules := range matching {
		s.guards[t] = s.compile(&subject{target: t, counted: t}, rules)
	}
	return s, nil
}

func addRules(s *Snapshot, rules []config.Rule, o *Options, begin func(*config.Rule)) error {
	var problems config.Problems
	wrong := func(c *config.Rule, message string) {
		path := c.Path()
		if path == "" {
			path = "rules[" + c.Name + "]"
		} else {
			message = "rule " + c.Name + ": " + message
		}
		problems = append(problems, c.Position("").Problem(path, message).Coded(lint.BadSetting))
	}
	for i := range rules {
		c := &rules[i]
		begin(c)
		compiled, err := newSpec(c, s.revision, s.host)
		switch {
		case err != nil:
			wrong(c, err.Error())
		case s.byName[c.Name] != nil:
			wrong(c, "duplicate name")
		default:
			compiled.watch(o)
			r := &rule{spec: *compiled}
			s.rules = append(s.rules, r)
			s.byName[c.Name] = r
		}
	}
	return problems.Sort().Err()
}

// matchTargets finds the rules for each target.
func matchTargets(s *Snapshot, targets []Target) map[Target][]candidate {
	matching := make(map[Target][]candidate, len(targets))
	for _, t := range targets {
		if _, twice := matching[t]; twice {
			continue
		}
		matching[t] = s.inbound.match(t, "")
		for _, c := range matching[t] {
			c.rule.targets = append(c.rule.targets, t)
		}
	}
	return matching
}

// predecessors returns the rule of prev whose state each rule takes over: the one of its name, or of its former name (was),
// unless a rule still has that.
func predecessors(rules []*rule, prev *Snapshot) map[*rule]*rule {
	if prev == nil {
		return nil
	}
	names := make(map[string]bool, len(rules))
	for _, r := range rules {
		names[r.name] = true
	}
	old := make(map[*rule]*rule, len(rules))
	for _, r := range rules {
		was := r.config.Was
		switch {
		case prev.byName[r.name] != nil:
			old[r] = prev.byName[r.name]
		case was != "" && !names[was] && prev.byName[was] != nil:
			old[r] = prev.byName[was]
			names[was] = true
		}
	}
	return old
}

// maxPerCall bounds the rules that apply to one call, since each may be evaluated. Rules for different callers do not add up.
const maxPerCall = 100

// tooMany reports the first few methods whose calls more rules may apply to, each at the first rule beyond the limit.
func tooMany(s *Snapshot, targets []Target, matching map[Target][]candidate) (problems config.Problems) {
	const most = 5
	for _, t := range targets {
		if len(matching[t]) <= maxPerCall || len(problems) == most {
			continue
		}
		rules := make(map[*rule]bool, len(matching[t]))
		for _, c := range matching[t] {
			rules[c.rule] = true
		}
		if p, ok := met(s, func(r *rule) bool { return rules[r] }, "to "+t.String()); ok {
			problems = append(problems, p)
		}
	}
	return problems
}

// tooManyCalled reports the upstreams whose calls more rules may apply to.
func tooManyCalled(s *Snapshot) (problems config.Problems) {
	for _, name := range s.neighbours.upstreams {
		p, ok := met(s, func(r *rule) bool {
			return r.clientSide() && len(r.services)+len(r.methods) == 0 && matchesAny(r.upstreams, name)
		}, "to upstream "+name)
		if ok {
			problems = append(problems, p)
		}
	}
	return problems
}

// met returns the problem of those rules if too many of them may apply to one call.
func met(s *Snapshot, of func(*rule) bool, which string) (p config.Problem, tooMany bool) {
	var rules, others []*rule // others: for callers that no rule names
	named := make(map[string]int)
	for _, r := range s.rules {
		if r.off || !of(r) {
			continue
		}
		rules = append(rules, r)
		if len(r.callers.globs) > 0 || r.callers.empty() {
			others = append(others, r)
			continue
		}
		for caller := range r.callers.exact {
			named[caller]++
		}
	}
	if len(others) > maxPerCall {
		return tooManyAt(others, "calls "+which), true
	}
	var crowded []string
	for caller, n := range named {
		if n+len(others) > maxPerCall {
			crowded = append(crowded, caller)
		}
	}
	slices.Sort(crowded)
	for _, caller := range crowded {
		meets := slices.DeleteFunc(slices.Clone(rules), func(r *rule) bool { return !r.callers.empty() && !r.callers.match(caller) })
		if len(meets) > maxPerCall {
			return tooManyAt(meets, "calls of "+caller+" "+which), true
		}
	}
	return p, false
}

func tooManyAt(rules []*rule, which string) config.Problem {
	first := rules[maxPerCall]
	p := problemIn(lint.TooMany, first.config, "match", fmt.Sprintf("%d rules apply to %s, at most %d are allowed: "+
		"match several callers with one rule, by a glob or a list", len(rules), which, maxPerCall))
	if first.config.Path() == "" { // not from a file
		p.Path = "rules[" + first.name + "].match"
	}
	return p
}
