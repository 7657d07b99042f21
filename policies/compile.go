package policies

import (
	"cmp"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/client"
)

// Compile compiles rules for a host that serves targets. The rules are complete, as config loads them or
// config.CompleteRules returns them, and belong to the snapshot from then on. prev is the snapshot in force, nil at start:
// rules keep the state of rules of the same name. prev is unchanged until the new snapshot is activated; one that is never
// activated leaves no trace. The error is config.Problems: too many rules for one method, or mistakes that validation should
// have found.
func Compile(rules []config.Rule, targets []Target, prev *Snapshot, o Options) (*Snapshot, error) {
	s := &Snapshot{
		revision: o.Revision, host: o.Host, sink: new(sink), aliases: o.Aliases,
		byName: make(map[string]*rule, len(rules)), guards: make(map[Target]*Guard, len(targets)),
		remote: o.Remote, upstreamNames: o.Upstreams, pool: o.Pool,
	}
	if o.Allowed != nil {
		s.allowed = compileGlobs(o.Allowed)
	}
	s.nothing = &Guard{snapshot: s}
	s.upstreams = new(ClientRules)
	s.upstreams.current.Store(s)
	if prev != nil {
		// Were it never called, its own changes would still be waiting.
		prev.Activate()
		s.sink, s.pool, s.orders = prev.sink, cmp.Or(s.pool, prev.pool), prev.orders
	}
	s.pool = cmp.Or(s.pool, new(client.Pool))
	if err := addRules(s, rules); err != nil {
		return nil, err
	}
	s.inbound, s.outbound = newIndexes(s.rules)
	matching := matchTargets(s, targets)
	if problems := append(tooMany(s, targets, matching), tooManyCalled(s)...); len(problems) > 0 {
		return nil, problems.Sort()
	}
	old := predecessors(s.rules, prev)
	for _, r := range s.rules {
		s.changes = append(s.changes, r.inherit(old[r], s)...)
	}
	if o.OnTransition != nil {
		s.changes = append(s.changes, func() { s.sink.tell.Store(&o.OnTransition) })
	}
	now := time.Now()
	for i, t := range targets {
		if s.guards[t] == nil { // not named twice
			s.guards[t] = newGuard(s, subject{target: t, counted: t}, matching[i], now)
		}
	}
	return s, nil
}

func addRules(s *Snapshot, rules []config.Rule) error {
	var problems config.Problems
	wrong := func(c *config.Rule, message string) {
		at, path := c.Position(""), c.Path()
		if path == "" {
			path = "rules[" + c.Name + "]"
		} else {
			message = "rule " + c.Name + ": " + message
		}
		problems = append(problems, config.Problem{File: at.File, Line: at.Line, Column: at.Column, Path: path, Message: message})
	}
	for i := range rules {
		c := &rules[i]
		r, err := newRule(c, s.revision, s.host)
		switch {
		case err != nil:
			wrong(c, err.Error())
		case s.byName[c.Name] != nil:
			wrong(c, "the name is taken")
		default:
			s.rules = append(s.rules, r)
			s.byName[c.Name] = r
		}
	}
	return problems.Sort().Err()
}

// matchTargets finds the rules for each target.
func matchTargets(s *Snapshot, targets []Target) [][]candidate {
	matching := make([][]candidate, len(targets))
	seen := make(map[Target]bool, len(targets))
	for i, t := range targets {
		if seen[t] {
			continue
		}
		seen[t] = true
		matching[i] = s.inbound.match(t, "")
		for _, c := range matching[i] {
			c.rule.targets = append(c.rule.targets, t)
		}
	}
	return matching
}

func newGuard(s *Snapshot, of subject, matching []candidate, now time.Time) *Guard {
	g := &Guard{snapshot: s, target: of.target, matching: matching}
	var live []candidate
	for _, c := range matching {
		if !c.rule.off && !c.rule.expired(now) {
			live = append(live, c)
		}
	}
	if len(live) == 0 {
		return g
	}
	p := newPlanner(of, live)
	g.others = p.others()
	for _, c := range live {
		for name := range c.rule.callers.exact {
			if g.exact[name] != nil {
				continue
			}
			if g.exact == nil {
				g.exact = make(map[string]*plan)
			}
			g.exact[name] = p.exact(name)
		}
	}
	return g
}

// predecessors finds the rule of prev that each rule goes on from: the one of its name, or the one that it was, unless
// that name is still in use.
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

// index finds the rules about a method. Most rules name their service, or their upstream, and are found by it.
type index struct {
	named map[string][]*rule
	wide  []*rule
}

// newIndexes are those of the rules about calls that come in, by service, and about calls that go out, by upstream.
func newIndexes(rules []*rule) (inbound, outbound index) {
	for _, r := range rules {
		if r.clientSide() {
			outbound.add(r, r.upstreams)
		} else {
			inbound.add(r, r.services)
		}
	}
	return inbound, outbound
}

func (x *index) add(r *rule, by []glob) {
	if !allExact(by) {
		x.wide = append(x.wide, r)
		return
	}
	if x.named == nil {
		x.named = make(map[string][]*rule)
	}
	for _, g := range by {
		if list := x.named[g.text]; len(list) == 0 || list[len(list)-1] != r {
			x.named[g.text] = append(list, r)
		}
	}
}

func allExact(globs []glob) bool {
	for _, g := range globs {
		if !g.exact {
			return false
		}
	}
	return len(globs) > 0
}

func (x *index) empty() bool { return len(x.named)+len(x.wide) == 0 }

// match finds the rules about a method: of the upstream, for calls that go out.
func (x *index) match(t Target, upstream string) (matching []candidate) {
	name := t.Service
	if upstream != "" {
		name = upstream
	}
	for _, rules := range [][]*rule{x.named[name], x.wide} {
		for _, r := range rules {
			if at, ok := r.matchesTarget(t, upstream); ok {
				matching = append(matching, candidate{r, at})
			}
		}
	}
	return matching
}
