package policies

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/wildcard"
)

// Bounds of what ValidatePointless looks for in large sets.
const (
	mostPointless      = 100
	mostPointlessAsked = 500_000 // pairs of rules
)

// ValidatePointless warns of enforced limits and access lists that never refuse a call which the rest of the set lets
// through: an exception that a wider and tighter rule forbids all the same, since every rule must agree, and copies. It
// also warns of rules whose exceptions leave out all that they match. What it cannot decide it does not report.
func ValidatePointless(rules []config.Rule) config.Problems {
	var problems config.Problems
	x, now := make(wideRules), time.Now()
	reaches := make([]*reach, len(rules))
	for i := range rules {
		r := &rules[i]
		if r.Mode == config.Off || !r.Expires.IsZero() && !now.Before(r.Expires) {
			continue
		}
		s := newReach(r, i)
		if s == nil {
			continue
		}
		if s.isEmpty() {
			problems = append(problems, warningIn(r, "match.except", fmt.Sprintf("leaves out every call that the rule matches: rule %s does nothing", r.Name)))
			continue
		}
		if r.Mode != config.Shadow && (r.RateLimit != nil || r.Concurrency != nil || r.Access != nil) {
			reaches[i] = s
			x.add(s)
		}
	}
	asked := 0
	for _, s := range reaches {
		if s == nil {
			continue
		}
		for _, w := range x.near(s) {
			asked++
			if asked > mostPointlessAsked || len(problems) >= mostPointless {
				return problems.Sort()
			}
			problems = append(problems, s.pointlessBeside(w)...)
		}
	}
	return problems.Sort()
}

func warningIn(r *config.Rule, field, message string) config.Problem {
	at := r.Position(field)
	return config.Problem{File: at.File, Line: at.Line, Column: at.Column, Path: r.Path() + "." + field, Warning: true, Message: message}
}

func isCopy(a, b *config.Rule, kind config.Kind) bool {
	switch kind {
	case config.KindRateLimit:
		return a.RateLimit != nil && b.RateLimit != nil && reflect.DeepEqual(a.RateLimit, b.RateLimit)
	case config.KindConcurrency:
		return a.Concurrency != nil && b.Concurrency != nil && reflect.DeepEqual(a.Concurrency, b.Concurrency)
	default:
		return a.Access != nil && b.Access != nil && reflect.DeepEqual(a.Access, b.Access)
	}
}

// looserRate compares two buckets, or kinds of buckets. What the calls of one bucket of a have taken of it, some buckets
// of b have lost too, so that it cannot be empty before them when it is as large as they are together.
func looserRate(a, b *config.Rule) bool {
	s, w := *a.RateLimit, *b.RateLimit
	if w.OnExceed == config.OnExceedWait {
		return false // who has waited may owe more than a burst
	}
	n, ok := bucketsFor(a, &s, &w)
	perSecond := func(l *config.RateLimit) float64 { return float64(l.Rate) / cmp.Or(l.Per.Std(), time.Second).Seconds() }
	burst := func(l *config.RateLimit) float64 { return cmp.Or(float64(l.Burst), max(float64(int64(l.Rate)), 1)) }
	if !ok || perSecond(&s) < n*perSecond(&w) || burst(&s) < n*burst(&w) {
		return false
	}
	for _, l := range []*config.RateLimit{&s, &w} { // all else has to be equal
		l.Rate, l.Per, l.Burst, l.Key, l.MaxKeys, l.OnExceed, l.MaxWait = 0, 0, 0, nil, 0, "", 0
	}
	return reflect.DeepEqual(s, w)
}

// bucketsFor is how many buckets of w the calls of one bucket of s, a limit of a, may take from.
func bucketsFor(a *config.Rule, s, w *config.RateLimit) (n float64, ok bool) {
	ours, theirs := slices.Sorted(slices.Values(s.Key)), slices.Sorted(slices.Values(w.Key))
	switch {
	case len(theirs) == 0:
		return 1, s.OnMissingKey != config.OnMissingKeyRefuse // calls without the key
	case slices.Equal(ours, theirs):
		return 1, cmp.Or(s.MaxKeys, 10_000) >= cmp.Or(w.MaxKeys, 10_000)
	case len(ours) > 0:
		return 0, false
	}
	n = 1
	for _, part := range theirs {
		exact := config.Patterns(nil)
		switch {
		case part == "caller":
			exact = a.Match.Caller
		case part == "method" && len(a.Match.Service) == 1 && wildcard.IsExact(a.Match.Service[0]):
			exact = a.Match.Method
		}
		if len(exact) == 0 || slices.ContainsFunc(exact, func(p string) bool { return !wildcard.IsExact(p) }) {
			return 0, false
		}
		n *= float64(len(exact))
	}
	return n, true
}

// pointless is the warning about a kind of rule a, which never matters beside b.
func pointless(a, b *config.Rule, kind config.Kind, same, copied bool) config.Problem {
	other := b.Name
	if where := b.Position(string(kind)).String(); where != "" {
		other += " (" + where + ")"
	}
	if copied {
		return warningIn(a, string(kind), fmt.Sprintf("%s of rule %s is a copy of that of rule %s: remove one of them", kind, a.Name, other))
	}
	message := fmt.Sprintf("%s of rule %s never matters: all of its calls must pass rule %s too, which is as tight or tighter%s",
		kind, a.Name, other, against(a, b, kind))
	if fields := narrowing(&a.Match, &b.Match); !same && fields != "" {
		message += "; to let it decide alone, write match: {except: {" + fields + "}} in rule " + b.Name
	}
	return warningIn(a, string(kind), message)
}

// against is the setting of b against that of a, where it is short.
func against(a, b *config.Rule, kind config.Kind) string {
	ruleA, errA := newRule(a, 0)
	ruleB, errB := newRule(b, 0)
	if kind == config.KindAccess || errA != nil || errB != nil {
		return ""
	}
	return " (" + ruleB.setting(kind) + ", against " + ruleA.setting(kind) + ")"
}

// narrowing are the fields in which a is narrower than b, as an exception has them.
func narrowing(a, b *config.Match) string {
	var fields []string
	add := func(name string, ours, theirs config.Patterns) {
		if len(ours) == 0 || slices.Equal(ours, theirs) {
			return
		}
		texts := make([]string, len(ours))
		for i, p := range ours {
			if texts[i] = p; strings.ContainsAny(p, "*:|,#[]{}&!'\"%@`") {
				texts[i] = fmt.Sprintf("%q", p)
			}
		}
		text := texts[0]
		if len(texts) > 1 {
			text = "[" + strings.Join(texts, ", ") + "]"
		}
		fields = append(fields, name+": "+text)
	}
	add("service", a.Service, b.Service)
	add("method", a.Method, b.Method)
	add("caller", a.Caller, b.Caller)
	add("peer", a.Peer, b.Peer)
	add("upstream", a.Upstream, b.Upstream)
	return strings.Join(fields, ", ")
}
