package policies

import (
	"cmp"
	"time"

	"github.com/easymicro/easymicro/config"
)

// Compile makes the snapshot of rules for a host that serves targets. prev is the one in force, nil at start: what its
// rules have learned is carried over to rules of the same name. prev goes on unchanged until the new snapshot is
// activated, so that one that is not put in force leaves no trace. The rules belong to the snapshot from then on. The
// error is config.Problems: that too many rules match one method, or what validation should have found.
func Compile(rules []config.Rule, targets []Target, prev *Snapshot, o Options) (*Snapshot, error) {
	s := &Snapshot{
		revision: o.Revision, host: o.Host, transitions: new(hub), aliases: o.Aliases,
		byName: make(map[string]*rule, len(rules)), guards: make(map[Target]*Guard, len(targets)),
		remote: o.Remote, upstreamNames: o.Upstreams, directory: o.Directory,
	}
	if o.Allowed != nil {
		s.allowed = compileGlobs(o.Allowed)
	}
	s.nothing = &Guard{snapshot: s}
	s.upstreams = new(Upstreams)
	s.upstreams.current.Store(s)
	if prev != nil {
		// Were it never called, its own changes would still be waiting.
		prev.Activate()
		s.transitions, s.directory, s.orders = prev.transitions, cmp.Or(s.directory, prev.directory), prev.orders
	}
	s.directory = cmp.Or(s.directory, new(Directory))
	if err := s.addRules(rules); err != nil {
		return nil, err
	}
	s.inbound, s.outbound = newIndexes(s.rules)
	matching := s.match(targets)
	if problems := append(s.tooMany(targets, matching), s.tooManyCalled()...); len(problems) > 0 {
		return nil, problems.Sort()
	}
	old := predecessors(s.rules, prev)
	for _, r := range s.rules {
		s.changes = append(s.changes, r.inherit(old[r], s)...)
	}
	if o.OnTransition != nil {
		s.changes = append(s.changes, func() { s.transitions.tell.Store(&o.OnTransition) })
	}
	now := time.Now()
	for i, t := range targets {
		if s.guards[t] == nil { // not named twice
			s.guards[t] = s.newGuard(subject{target: t}, matching[i], now)
		}
	}
	return s, nil
}

func (s *Snapshot) addRules(rules []config.Rule) error {
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
		r, err := newRule(c, s.revision)
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

// match finds the rules for each target.
func (s *Snapshot) match(targets []Target) [][]candidate {
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

func (s *Snapshot) newGuard(of subject, matching []candidate, now time.Time) *Guard {
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
