package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config/lint"
)

// wideningRefuse is the value of Policies.Widening that rejects edits.
const wideningRefuse = "refuse"

// Edit is a change from one set to the next, to be judged before it is applied.
type Edit struct {
	Old, Next  *Set // Old is nil at the start
	Changes    Changes
	Targets    []Target // the methods that the host serves once Next is applied
	AllowWider bool     // accepts calls that Next lets through, as an operator has asked
}

// Judge returns the problems of the edit: errors about rules that must be kept (policies.keep) and, under policies.widening:
// refuse, about calls that it lets through; otherwise warnings about these calls. Of the policies of both sets the stricter apply.
func (e *Edit) Judge() Problems {
	problems := e.matchless()
	if e.Old == nil {
		return problems
	}
	problems = append(append(problems, e.unkept()...), e.doubled()...)
	refuse := e.refuses() && !e.AllowWider
	for _, name := range e.Old.Manifest.Policies.Keep {
		if !slices.Contains(e.Next.Manifest.Policies.Keep, name) {
			problems = append(problems, e.wider(e.Next.Manifest.Position("policies.keep").Problem("policies.keep", "wider: rule "+name+" is no longer kept"), refuse,
				"with policies.widening: warn in an edit before it"))
		}
	}
	if a := &e.Next.Manifest.Admin; e.Old.Manifest.Admin.NeedsToken() && !a.NeedsToken() && a.Address != "" {
		problems = append(problems, e.wider(e.Next.Manifest.Position("admin").Problem("admin",
			"wider: everyone on this machine may now use the admin API, without a token"), refuse, "with policies.widening: warn in an edit before it"))
	}
	w := Widened(e.Old, e.Next, e.Changes, e.Targets)
	for i := range w.List {
		way := "widen: ok in rule " + w.List[i].Rule
		if w.List[i].Rule == "" {
			way = "policies.widening: warn in an edit before it"
		}
		problems = append(problems, e.wider(w.List[i].problem(), refuse && !w.List[i].OK, "with "+way))
	}
	if w.Undecided != "" {
		way := "policies.widening: warn in an edit before it"
		if len(w.Rules) > 0 {
			way = "widen: ok in " + clip(strings.Join(w.Rules, ", "))
		}
		p := Problem{Message: "it was not decided in full whether more callers may call more methods: " + w.Undecided}
		problems = append(problems, e.wider(p, refuse && len(w.List) < maxWidenings, "with "+way))
	}
	return problems
}

// doubled warns of an edit that doubles the rules: it may be a file that is named twice, or a faulty generator.
func (e *Edit) doubled() Problems {
	const least = 100 // rules that are added
	before, after := len(e.Old.Rules), len(e.Next.Rules)
	if before == 0 || after < 2*before || after-before < least {
		return nil
	}
	last := &e.Next.Rules[after-1]
	return Problems{last.Position("").Problem(last.path,
		fmt.Sprintf("the edit grows the set from %d rules to %d (this is the last one), and at most %d are allowed: "+
			"make sure that it is meant", before, after, MaxRules)).Coded(lint.Doubled)}
}

// refuses reports whether one of the sets refuses edits that let more callers in.
func (e *Edit) refuses() bool {
	return e.Old.Manifest.Policies.Widening == wideningRefuse || e.Next.Manifest.Policies.Widening == wideningRefuse
}

// wider returns a problem as a warning, or as an error that says how the edit may be made.
func (e *Edit) wider(p Problem, refuse bool, way string) Problem {
	if !refuse {
		return p.Coded(lint.Wider)
	}
	p.Message += ": policies.widening is refuse; such an edit is accepted " + way + ", or by easymicro apply --allow-wider"
	return p.Coded(lint.WiderRefused)
}

// unkept returns a problem for each rule that the old set keeps and the edit does not.
func (e *Edit) unkept() (problems Problems) {
	now := time.Now()
	for i, name := range e.Old.Manifest.Policies.Keep {
		if slices.Contains(e.Next.Manifest.Policies.Keep, name) {
			continue // Validate has checked it
		}
		why := fmt.Sprintf("the running policies.keep (%s) names it; take it out there in an edit before this one",
			e.Old.Manifest.Position(fmt.Sprintf("policies.keep[%d]", i)))
		r := e.Next.Rule(name)
		if r == nil {
			var at Position
			if was := e.Old.Rule(name); was != nil {
				at = was.Position("")
			}
			problems = append(problems, at.Problem("", "rule "+name+" was removed: "+why).Coded(lint.NotKept))
		} else if field, what := unkept(r, now); what != "" {
			problems = append(problems, r.Position(field).Problem(join(r.path, field), what+": "+why).Coded(lint.NotKept))
		}
	}
	return problems
}

// matchless returns a problem for each rule to keep that matches no method or upstream of the host.
func (e *Edit) matchless() (problems Problems) {
	names := slices.Clone(e.Next.Manifest.Policies.Keep)
	if e.Old != nil {
		names = append(names, e.Old.Manifest.Policies.Keep...)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		r := e.Next.Rule(name)
		if r == nil || e.matches(r) {
			continue
		}
		what := strings.Join(slices.Concat(r.Match.Service, r.Match.Method, r.Match.Upstream), ", ")
		problems = append(problems, r.Position("match").Problem(join(r.path, "match"),
			fmt.Sprintf("no method of this host matches (%s), and policies.keep names rule %s", clip(what), name)).Coded(lint.NotKept))
	}
	return problems
}

func (e *Edit) matches(r *Rule) bool {
	m := e.Next.Manifest
	switch {
	case m.Gateway.Remote != nil:
		return true // any service may appear
	case r.ClientSide():
		return slices.ContainsFunc(m.UpstreamNames(), r.Match.Upstream.match)
	default:
		return slices.ContainsFunc(e.Targets, func(t Target) bool { return matchesTarget(r, t) })
	}
}
