package policies

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/lint"
	"github.com/easymicro/easymicro/wire/wildcard"
)

// Bounds of what ValidatePointless looks for in large sets.
const (
	maxPointless   = 100
	maxComparisons = 500_000 // of pairs of rules
)

// ValidatePointless warns of enforced limits and access lists that never refuse a call which the rest of the set allows,
// because a wider rule that is as tight applies to the same calls, and of copies. It also warns of rules whose exceptions
// exclude everything that they match. It does not report what it cannot decide.
func ValidatePointless(rules []config.Rule) config.Problems {
	var problems config.Problems
	x, now := make(wideRules), time.Now()
	reaches := make([]*reach, len(rules))
	for i := range rules {
		r := &rules[i]
		if r.Mode == config.Off || r.Expired(now) {
			continue
		}
		s := newReach(r, i)
		if s == nil {
			continue
		}
		if s.isEmpty() {
			problems = append(problems, problemIn(lint.ExcludesAll, r, "match.except",
				fmt.Sprintf("excludes every call that the rule matches: rule %s has no effect", r.Name)))
			continue
		}
		if r.Mode != config.Shadow && slices.ContainsFunc(r.Kinds(), func(k config.Kind) bool { return !k.OneWins() }) {
			reaches[i] = s
			x.add(s)
		}
	}
	compared := 0
	for _, s := range reaches {
		if s == nil {
			continue
		}
		for _, w := range x.near(s) {
			compared++
			if compared > maxComparisons || len(problems) >= maxPointless {
				return problems.Sort()
			}
			problems = append(problems, s.pointlessBeside(w)...)
		}
	}
	return problems.Sort()
}

// problemIn returns a problem of a field of a rule.
func problemIn(as lint.Code, r *config.Rule, field, message string) config.Problem {
	return r.Position(field).Problem(r.Path()+"."+field, message).Coded(as)
}

// isCopy reports whether a kind of a is the same in b.
func isCopy(a, b *config.Rule, kind config.Kind) bool {
	switch kind {
	case config.KindAccess:
		return reflect.DeepEqual(a.Access, b.Access)
	case config.KindShed:
		return reflect.DeepEqual(a.Shed, b.Shed)
	case config.KindRateLimit:
		return reflect.DeepEqual(a.RateLimit, b.RateLimit)
	case config.KindConcurrency:
		return reflect.DeepEqual(a.Concurrency, b.Concurrency)
	case config.KindPriority, config.KindCircuitBreaker, config.KindTimeout, config.KindRetry, config.KindHedge,
		config.KindOutlierDetection:
	}
	return false
}

// named returns the name of a rule with the position of a kind.
func named(r *config.Rule, kind config.Kind) string {
	if at := r.Position(string(kind)).String(); at != "" {
		return r.Name + " (" + at + ")"
	}
	return r.Name
}

// pointless returns the warning about a kind of rule a that has no effect beside b.
func pointless(a, b *config.Rule, kind config.Kind, same, copied bool) config.Problem {
	other := named(b, kind)
	if copied {
		return problemIn(lint.Copied, a, string(kind), fmt.Sprintf("%s of rule %s duplicates that of rule %s: remove one of them", kind, a.Name, other))
	}
	message := fmt.Sprintf("%s of rule %s has no effect: all its calls must also pass rule %s, which is at least as strict%s",
		kind, a.Name, other, against(a, b, kind))
	if fields := narrowing(&a.Match, &b.Match); !same && fields != "" {
		message += "; to apply it alone, write match: {except: {" + fields + "}} in rule " + b.Name
	}
	return problemIn(lint.IdleLimit, a, string(kind), message)
}

// against returns the settings of b and a, if they are short.
func against(a, b *config.Rule, kind config.Kind) string {
	specA, errA := newSpec(a, 0, "")
	specB, errB := newSpec(b, 0, "")
	if kind == config.KindAccess || errA != nil || errB != nil {
		return ""
	}
	return " (" + settingOf(specB, kind) + ", against " + settingOf(specA, kind) + ")"
}

// narrowing returns the fields in which a is narrower than b, as text of an exception.
func narrowing(a, b *config.Match) string {
	var fields []string
	add := func(name string, ours, theirs config.Patterns) {
		if len(ours) == 0 || slices.Equal(ours, theirs) {
			return
		}
		fields = append(fields, name+": "+patternsText(ours))
	}
	add("service", a.Service, b.Service)
	add("method", a.Method, b.Method)
	add("caller", a.Caller, b.Caller)
	if len(a.Identity) > 0 && !reflect.DeepEqual(a.Identity, b.Identity) {
		fields = append(fields, identityText(a.Identity))
	}
	add("peer", a.Peer, b.Peer)
	add("upstream", a.Upstream, b.Upstream)
	return strings.Join(fields, ", ")
}

// patternsText returns patterns as they are written in YAML.
func patternsText(patterns config.Patterns) string {
	texts := make([]string, len(patterns))
	for i, p := range patterns {
		if texts[i] = p; strings.ContainsAny(p, "*:|,#[]{}&!'\"%@` ") {
			texts[i] = fmt.Sprintf("%q", p)
		}
	}
	if len(texts) == 1 {
		return texts[0]
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

// reach is the set of calls that a rule matches.
type reach struct {
	rule    *config.Rule
	index   int
	match   *exception // what it matches, compiled as an exception is
	except  []*exception
	regions []region // whose union it matches
}

// newReach returns nil for a rule whose lists are too long, or that is invalid.
func newReach(r *config.Rule, index int) *reach {
	m := &r.Match
	match, err := compileExceptions(config.Exceptions{
		{Service: m.Service, Method: m.Method, Caller: m.Caller, Peer: m.Peer, Upstream: m.Upstream, Identity: m.Identity},
	})
	if err != nil || len(match) == 0 {
		return nil
	}
	s := &reach{rule: r, index: index, match: match[0]}
	if s.except, err = compileExceptions(m.Except); err != nil {
		return nil
	}
	all := forms(tieRule{rule: r})
	if len(all) == maxForms {
		return nil
	}
	for i := range all {
		s.regions = append(s.regions, all[i].region())
	}
	return s
}

func (s *reach) isEmpty() bool {
	return len(s.except) > 0 && !slices.ContainsFunc(s.regions, func(g region) bool { return !leaveOut(s.except, &g) })
}

// within reports whether w matches all calls that the rule matches.
func (s *reach) within(w *reach) bool {
	if s.rule.ClientSide() != w.rule.ClientSide() {
		return false
	}
	for i := range s.regions {
		g := &s.regions[i]
		if leaveOut(s.except, g) {
			continue
		}
		if !w.match.coversNames(g) || len(w.match.peers) > 0 && (!g.peer.IsValid() || !covered(g.peer, w.match.peers)) {
			return false
		}
		for _, x := range w.except {
			if x.overlaps(g) && !slices.ContainsFunc(s.except, func(y *exception) bool { return y.coversException(x, g) }) {
				return false
			}
		}
	}
	return true
}

// pointlessBeside warns of the kinds of the rule that never refuse what w lets through.
func (s *reach) pointlessBeside(w *reach) (problems config.Problems) {
	a, b := s.rule, w.rule
	outlives := b.Expires.IsZero() || !a.Expires.IsZero() && !b.Expires.Before(a.Expires)
	if s == w || b.EnforceShare != nil || !outlives || !s.within(w) {
		return nil
	}
	same := w.within(s)
	for _, kind := range a.Kinds() {
		copied := same && isCopy(a, b, kind)
		if copied && s.index < w.index && a.EnforceShare == nil && a.Expires.Equal(b.Expires) {
			continue // reported for the other one
		}
		if copied || s.isLooser(w, kind) {
			problems = append(problems, pointless(a, b, kind, same, copied))
		} else if !same && kind == config.KindRateLimit && b.RateLimit != nil && isAbove(a, b) {
			problems = append(problems, problemIn(lint.AboveService, a, string(kind), fmt.Sprintf("%s per %s of rule %s is never sustained: all its calls must "+
				"also pass rule %s, which lets %s per %s through; lower it, or exclude its calls from rule %[4]s with match.except",
				a.RateLimit.Rate, a.RateLimit.Per, a.Name, named(b, kind), b.RateLimit.Rate, b.RateLimit.Per)))
		}
	}
	return problems
}

// isLooser reports whether a kind of the rule never refuses a call that the one of w allows. All calls of the rule are calls
// of w. Of the kinds that are not compared, only one rule counts for a call.
func (s *reach) isLooser(w *reach, kind config.Kind) bool {
	a, b := s.rule, w.rule
	switch kind {
	case config.KindAccess:
		return b.Access != nil && s.allowsAllOf(w)
	case config.KindShed:
		return b.Shed != nil && a.Shed.CPUAbove >= b.Shed.CPUAbove
	case config.KindRateLimit:
		return b.RateLimit != nil && looserRate(a, b)
	case config.KindConcurrency:
		// A call that waits in the queue of w may hold a permit of the rule.
		return b.Concurrency != nil && a.Concurrency.Adaptive == nil && b.Concurrency.Adaptive == nil &&
			b.Concurrency.Max > 0 && a.Concurrency.Max >= b.Concurrency.Max+b.Concurrency.Queue
	case config.KindPriority, config.KindCircuitBreaker, config.KindTimeout, config.KindRetry, config.KindHedge,
		config.KindOutlierDetection:
	}
	return false
}

// allowsAllOf reports whether the access list of the rule allows all that w allows of its calls.
func (s *reach) allowsAllOf(w *reach) bool {
	ours, theirs := s.rule.Access, w.rule.Access
	allowed := theirs.Allow
	if len(allowed) == 0 {
		allowed = []config.AccessEntry{{}}
	}
	for i := range s.regions {
		for _, e := range allowed {
			for _, caller := range anyOf(e.Caller) {
				for _, method := range anyOf(e.Methods) {
					if !s.allowsRegion(ours, theirs, &s.regions[i], caller, method) {
						return false
					}
				}
			}
		}
	}
	return true
}

func anyOf(patterns config.Patterns) config.Patterns {
	if len(patterns) == 0 {
		return config.Patterns{"*"}
	}
	return patterns
}

// allowsRegion is allowsAllOf for the calls of a region that an entry of theirs allows.
func (s *reach) allowsRegion(ours, theirs *config.Access, of *region, caller, method string) bool {
	if !wildcard.Overlap(of.caller, caller) || !wildcard.Overlap(of.method, method) {
		return true
	}
	caller, wholeCaller := wildcard.Common(of.caller, caller)
	method, wholeMethod := wildcard.Common(of.method, method)
	switch {
	case entriesCover(theirs.Deny, caller, method):
		return true
	case !wholeCaller || !wholeMethod || len(ours.Allow) > 0 && !entriesCover(ours.Allow, caller, method):
		return false
	}
	for _, e := range ours.Deny {
		for _, c := range anyOf(e.Caller) {
			for _, m := range anyOf(e.Methods) {
				if !wildcard.Overlap(c, caller) || !wildcard.Overlap(m, method) {
					continue
				}
				deniedCaller, whole := wildcard.Common(c, caller)
				deniedMethod, wholeToo := wildcard.Common(m, method)
				if !whole || !wholeToo || !entriesCover(theirs.Deny, deniedCaller, deniedMethod) {
					return false
				}
			}
		}
	}
	return true
}

func entriesCover(entries []config.AccessEntry, caller, method string) bool {
	return slices.ContainsFunc(entries, func(e config.AccessEntry) bool {
		return wildcard.MatchAny(e.Caller, caller) && wildcard.MatchAny(anyOf(e.Methods), method)
	})
}

// wideRules finds the rules that may match all calls of another one, by the service and the caller that they name exactly;
// "" is the key of those that name none.
type wideRules map[[2]string][]*reach

const maxKeysOfOneRule = 64

func (x wideRules) add(w *reach) {
	keys := func(globs []glob, exact map[string]bool) []string {
		list := slices.Collect(maps.Keys(exact))
		for i := range globs {
			if !globs[i].exact {
				return []string{""}
			}
			list = append(list, globs[i].text)
		}
		if len(list) == 0 || len(list) > maxKeysOfOneRule {
			return []string{""}
		}
		return list
	}
	for _, service := range keys(w.match.services, nil) {
		for _, caller := range keys(w.match.callers.globs, w.match.callers.exact) {
			key := [2]string{service, caller}
			x[key] = append(x[key], w)
		}
	}
}

func (x wideRules) near(s *reach) (list []*reach) {
	keys := func(text string) []string {
		if wildcard.IsExact(text) {
			return []string{"", text}
		}
		return []string{""}
	}
	for _, service := range keys(s.regions[0].service) {
		for _, caller := range keys(s.regions[0].caller) {
			list = append(list, x[[2]string{service, caller}]...)
		}
	}
	return list
}
