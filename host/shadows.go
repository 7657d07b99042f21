package host

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

const (
	shadowsKept    = 4096 // callers by rule and method
	shadowsFreed   = shadowsKept / 8
	shadowsShown   = 1000 // rows
	shadowsCallers = 10   // in a row
)

// shadows counts the calls that rules in shadow, or enforced for a share of the callers, would have refused, by caller, since each of
// these rules is as it is. Callers with few of them lose their entries if there are very many. It costs nothing for other calls.
type shadows struct {
	mu      sync.Mutex
	rules   map[string]*shadowed
	callers map[shadowCaller]uint64
}

// shadowed is a rule that is not enforced for all calls.
type shadowed struct {
	revision int
	since    time.Time
	before   map[decider]policies.Decisions
}

// decider is one kind of a rule for the calls of a method.
type decider struct {
	rule   string
	kind   config.Kind
	method string // Service/Method
}

// shadowCaller is a caller of a method under one kind of a rule.
type shadowCaller struct {
	decider
	caller string
}

// looksOn reports whether a rule lets calls pass that it would refuse.
func looksOn(r *config.Rule) bool {
	return r.Mode == config.Shadow || r.EnforceShare != nil && r.Mode != config.Off
}

// follow begins to count for the rules of a generation in force that are new in it or have changed.
func (s *shadows) follow(g *generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, changed := s.rules, g.changes.Subjects()
	s.rules = make(map[string]*shadowed)
	begin := make(map[string]bool)
	for i := range g.set.Rules {
		r := &g.set.Rules[i]
		switch known := before[r.Name]; {
		case !looksOn(r):
		case known != nil && !changed[r.Name]:
			s.rules[r.Name] = known
		default:
			s.rules[r.Name] = &shadowed{g.revision, time.Now(), make(map[decider]policies.Decisions)}
			begin[r.Name] = true
		}
	}
	if len(s.rules) == 0 {
		s.callers = nil
		return
	}
	for c := range s.callers {
		if s.rules[c.rule] == nil || begin[c.rule] {
			delete(s.callers, c)
		}
	}
	if len(begin) == 0 {
		return
	}
	for d, n := range decisionsOf(g, s.rules) {
		if begin[d.rule] {
			s.rules[d.rule].before[d] = n
		}
	}
}

// decisionsOf returns what some rules have decided, since their counters began.
func decisionsOf(g *generation, rules map[string]*shadowed) map[decider]policies.Decisions {
	by := make(map[decider]policies.Decisions)
	g.policies.Decisions(func(rule string, kind config.Kind, method, decision string, n uint64) {
		if rules[rule] == nil {
			return
		}
		d := decider{rule, kind, method}
		sum := by[d]
		switch decision {
		case "reject":
			sum.Reject = n
		case "shadow_reject":
			sum.ShadowReject = n
		default:
			sum.Allow += n
		}
		by[d] = sum
	})
	return by
}

// count counts a call that a rule would have refused.
func (s *shadows) count(key *refusalKey, kind config.Kind) {
	rule, _, _ := strings.Cut(key.rule, "@")
	c := shadowCaller{decider{rule, kind, code.Clip(key.target.String(), maxNameBytes)}, code.Clip(key.caller, maxNameBytes)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rules[rule] == nil {
		return
	}
	if n, ok := s.callers[c]; ok {
		s.callers[c] = n + 1
		return
	}
	if len(s.callers) >= shadowsKept {
		s.evict()
	}
	if s.callers == nil {
		s.callers = make(map[shadowCaller]uint64)
	}
	c.rule, c.method, c.caller = strings.Clone(c.rule), strings.Clone(c.method), strings.Clone(c.caller) // they must not keep the message of a peer alive
	s.callers[c] = 1
}

// evict frees the entries with the fewest calls.
func (s *shadows) evict() {
	list := make([]shadowCaller, 0, len(s.callers))
	for c := range s.callers {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b shadowCaller) int { return cmp.Compare(s.callers[a], s.callers[b]) })
	for _, c := range list[:shadowsFreed] {
		delete(s.callers, c)
	}
}

// list returns what the rules of a generation would have done, those with most calls first, and how many rows are left out.
func (s *shadows) list(g *generation) (rows []admin.ShadowRule, more int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, of := make(map[decider]int), make(map[decider][]decider) // by rule and kind
	decided := decisionsOf(g, s.rules)
	for d := range decided {
		of[decider{rule: d.rule, kind: d.kind}] = append(of[decider{rule: d.rule, kind: d.kind}], d)
	}
	for i := range g.set.Rules {
		r := &g.set.Rules[i]
		about := s.rules[r.Name]
		if about == nil {
			continue
		}
		for _, kind := range r.Kinds() {
			row := admin.ShadowRule{
				Rule: r.Name, Kind: kind, Mode: r.Mode, Position: r.Position(string(kind)).String(), Revision: about.revision, Since: about.since,
				Callers: []admin.ShadowCaller{},
			}
			if r.EnforceShare != nil {
				row.EnforceShare = r.EnforceShare.String()
			}
			none := row
			for _, d := range of[decider{rule: r.Name, kind: kind}] {
				if decidedSince(&row, decided[d], about.before[d]) {
					row.Method, at[d] = d.method, len(rows)
					rows = append(rows, row)
				}
			}
			if row.Method == "" {
				rows = append(rows, none)
			}
		}
	}
	s.addCallers(rows, at)
	slices.SortStableFunc(rows, func(a, b admin.ShadowRule) int {
		return cmp.Or(cmp.Compare(b.WouldRefuse, a.WouldRefuse), cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Method, b.Method))
	})
	if more = len(rows) - shadowsShown; more > 0 {
		return rows[:shadowsShown], more
	}
	return rows, 0
}

// decidedSince sets the numbers of a row, and reports whether a call was decided.
func decidedSince(row *admin.ShadowRule, now, before policies.Decisions) bool {
	row.WouldRefuse, row.Refused = since(now.ShadowReject, before.ShadowReject), since(now.Reject, before.Reject)
	row.Calls = since(now.Allow, before.Allow) + row.WouldRefuse + row.Refused
	if row.Calls == 0 {
		return false
	}
	row.Share = float64(row.WouldRefuse+row.Refused) / float64(row.Calls)
	return true
}

// since returns how much a counter has grown. It may have begun anew meanwhile.
func since(now, before uint64) uint64 {
	if now < before {
		return now
	}
	return now - before
}

// addCallers adds the callers to the rows of their methods.
func (s *shadows) addCallers(rows []admin.ShadowRule, at map[decider]int) {
	for c, n := range s.callers {
		i, ok := at[c.decider]
		if !ok {
			i, ok = at[decider{c.rule, c.kind, policies.Other}]
		}
		if ok {
			row := &rows[i]
			row.Callers = append(row.Callers, admin.ShadowCaller{Caller: c.caller, WouldRefuse: n, Share: float64(n) / float64(row.Calls)})
		}
	}
	for i := range rows {
		row := &rows[i]
		slices.SortFunc(row.Callers, func(a, b admin.ShadowCaller) int {
			return cmp.Or(cmp.Compare(b.WouldRefuse, a.WouldRefuse), cmp.Compare(a.Caller, b.Caller))
		})
		row.Callers = row.Callers[:min(len(row.Callers), shadowsCallers)]
		row.Others = row.WouldRefuse
		for _, c := range row.Callers {
			row.Others -= min(c.WouldRefuse, row.Others)
		}
	}
}
