package host

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/policies"
)

// overlay is the overrides in force. It is immutable.
type overlay []admin.Override

// overlaid is a set with overrides.
type overlaid struct {
	set       *config.Set
	overrides overlay
	warnings  config.Problems
}

// with returns the overlay with an override in place of one of the same name.
func (o overlay) with(x admin.Override) overlay { return append(o.without(x.Name), x) }

func (o overlay) without(name string) overlay {
	return slices.DeleteFunc(slices.Clone(o), func(x admin.Override) bool { return x.Name == name })
}

// named returns the override of a name; nil if there is none.
func (o overlay) named(name string) *admin.Override {
	if i := slices.IndexFunc(o, func(x admin.Override) bool { return x.Name == name }); i >= 0 {
		return &o[i]
	}
	return nil
}

// firstEnd returns when the first override ends; zero if there is none.
func (o overlay) firstEnd() (at time.Time) {
	for i := range o {
		if at.IsZero() || o[i].Until.Before(at) {
			at = o[i].Until
		}
	}
	return at
}

// on returns a set with the overrides. It leaves out overrides that have ended, and rules whose name a rule of the set has.
func (o overlay) on(set *config.Set, now time.Time) (overlaid, error) {
	v, changed := overlaid{set: set}, changedRules{set: set}
	var bypasses overlay // whatever the others change, they come last
	for i := range o {
		x := &o[i]
		if !x.Until.After(now) {
			continue
		}
		if own := set.Rule(x.Name); own != nil && x.Rule != "" {
			v.warn("the override %s has ended: %s has a rule of this name", x.Name, own.Position(""))
			continue
		}
		v.overrides = append(v.overrides, *x)
		if x.Action == admin.ActionBypass {
			bypasses = append(bypasses, *x)
			continue
		}
		r := set.Rule(x.Target)
		if x.Target != "" && r == nil {
			v.warn("the override %s has no effect: no rule is named %s", x.Name, x.Target)
			continue
		}
		if x.Action == admin.ActionBreaker {
			if r.CircuitBreaker == nil {
				v.warn("the override %s has no effect: %s has no circuitBreaker", x.Name, x.Target)
			}
			continue
		}
		if err := changed.add(x); err != nil {
			return v, err
		}
	}
	for i := range bypasses {
		changed.bypass(config.Kind(bypasses[i].Kind))
	}
	if len(changed.rules) == 0 {
		return v, nil
	}
	var problems config.Problems
	v.set, problems = set.Overridden(changed.rules)
	return v, problems.Err()
}

func (v *overlaid) warn(format string, args ...any) {
	v.warnings = append(v.warnings, config.Problem{Message: fmt.Sprintf(format, args...), Warning: true})
}

// changedRules are the rules that overrides add to a set or change.
type changedRules struct {
	set   *config.Set
	rules []config.Rule
}

func (c *changedRules) add(x *admin.Override) error {
	switch x.Action {
	case admin.ActionOverride:
		r, problems := config.Altered(c.rule(x.Target), "override "+x.Name, x.Field, x.Value)
		if err := problems.Err(); err != nil {
			return err
		}
		c.put(r)
	default:
		rules, problems := config.DecodeRules("override "+x.Name, []byte("rules: ["+x.Rule+"]\n"), nil)
		if err := problems.Err(); err != nil {
			return err
		}
		c.put(&rules[0])
	}
	return nil
}

// bypass takes a kind out of all rules of the set.
func (c *changedRules) bypass(k config.Kind) {
	for i := range c.set.Rules {
		if r := c.rule(c.set.Rules[i].Name); r.Mode != config.Off && slices.Contains(r.Kinds(), k) {
			c.put(config.Without(r, k))
		}
	}
}

// rule returns a rule with the changes so far.
func (c *changedRules) rule(name string) *config.Rule {
	for i := range c.rules {
		if c.rules[i].Name == name {
			return &c.rules[i]
		}
	}
	return c.set.Rule(name)
}

// put adds a rule. Its refusals are intended.
func (c *changedRules) put(r *config.Rule) {
	next := *r
	next.AutoRollback = config.RollbackOff
	c.rules = append(slices.DeleteFunc(c.rules, func(known config.Rule) bool { return known.Name == r.Name }), next)
}

// concerning returns the overrides of the rules of an explanation.
func (o overlay) concerning(e *admin.Explanation) (list []admin.Override) {
	concerns := func(x admin.Override) bool {
		return slices.ContainsFunc(e.Kinds, func(k policies.KindExplanation) bool {
			named := func(rule string) bool { return rule == x.Name || rule == x.Target }
			if x.Breaker != "" && e.Upstream == "" && x.Breaker != e.Service+"/"+e.Method {
				return false
			}
			return string(k.Kind) == x.Kind ||
				slices.ContainsFunc(k.Applies, func(r policies.AppliedRule) bool { return named(r.Rule) }) ||
				slices.ContainsFunc(k.Losers, func(r policies.LosingRule) bool { return x.Rule == "" && named(r.Rule) })
		})
	}
	for _, x := range o {
		if concerns(x) {
			list = append(list, x)
		}
	}
	return list
}

// breaker returns the override that keeps a breaker open or closed; nil: none.
func (o overlay) breaker(rule, target string) *admin.Override {
	var all *admin.Override
	for i := range o {
		switch x := &o[i]; {
		case x.Action != admin.ActionBreaker || x.Target != rule:
		case x.Breaker == target:
			return x
		case x.Breaker == "":
			all = x
		}
	}
	return all
}

// holds returns the breakers that the overrides keep open or closed.
func (o overlay) holds() []policies.BreakerHold {
	var list []policies.BreakerHold
	for i := range o {
		if x := &o[i]; x.Action == admin.ActionBreaker {
			list = append(list, policies.BreakerHold{
				Rule: x.Target, Target: x.Breaker, Open: x.State == admin.BreakerOpen, Until: x.Until, Cause: commandCause(x.Who, x.Why),
			})
		}
	}
	return list
}

// names returns the names of the overrides that have ended.
func (o overlay) names(ended time.Time) string {
	var names []string
	for _, x := range o {
		if !x.Until.After(ended) {
			names = append(names, x.Name)
		}
	}
	return strings.Join(names, ", ")
}

// nothingToRollBack returns the error of a rollback to a revision that differs from what runs in overrides alone.
func (o overlay) nothingToRollBack(to, running int) error {
	e := admin.Errorf(admin.CodeConflict,
		"nothing to roll back: r%d and the running r%d have the same files, and a rollback does not change overrides", to, running)
	if len(o) == 0 {
		return e.WithHelp("no override is in force")
	}
	var list []string
	for _, x := range o {
		list = append(list, fmt.Sprintf("%s %s until %s, or until easymicro override drop %s", x.Name, x.Text, x.Until.UTC().Format(time.RFC3339), x.Name))
	}
	return e.WithHelp("in force: %s", strings.Join(list, "; "))
}
