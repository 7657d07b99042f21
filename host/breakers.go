package host

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
)

// breakers finds the circuit breakers of a generation by name.
type breakers struct{ *generation }

// found is what the name of breakers selects.
type found struct {
	rule   *config.Rule
	target string // as BreakerStats has it; empty: all breakers of the rule
	list   []admin.Breaker
}

// all returns the breakers of all rules.
func (b breakers) all() []admin.Breaker {
	var list []admin.Breaker
	for _, s := range b.policies.Breakers() {
		v := admin.Breaker{Name: s.Rule + "/" + shownTarget(s.Target), BreakerStats: s}
		if h := b.overrides.breaker(s.Rule, s.Target); h != nil {
			v.Override = h.Name
		}
		list = append(list, v)
	}
	return list
}

// shownTarget returns the target of a breaker as users write it: Arith.Mul, an address or billing/127.0.0.1:8972.
func shownTarget(target string) string {
	upstream, name, ok := strings.Cut(target, " ")
	if !ok {
		upstream, name = "", target
	}
	if service, method, ok := strings.Cut(name, "/"); ok && !strings.Contains(name, ":") {
		name = service + "." + method
	}
	return strings.TrimPrefix(upstream+"/"+name, "/")
}

// sameTarget reports whether two texts name the same target of a breaker.
func sameTarget(a, b string) bool {
	plain := func(text string) string { return strings.NewReplacer("/", ".", " ", ".").Replace(text) }
	return plain(a) == plain(b)
}

// find returns what a name selects. The error is an *admin.Error.
func (b breakers) find(name string) (*found, error) {
	rule, target, one := strings.Cut(name, "/")
	f := &found{rule: b.set.Rule(rule)}
	if f.rule == nil || f.rule.CircuitBreaker == nil {
		return nil, b.noBreaker(rule, f.rule)
	}
	var names []string
	for _, v := range b.all() {
		if v.Rule != rule {
			continue
		}
		names = append(names, v.Name)
		if !one || sameTarget(v.Target, target) {
			f.list = append(f.list, v)
		}
	}
	if one && len(f.list) == 0 {
		return nil, notAmong("breaker", name, names, "it is made by the first call, and there was none yet")
	}
	if one {
		f.target = f.list[0].Target
	}
	return f, nil
}

// noBreaker returns the error for a rule that does not exist, or has no breaker.
func (b breakers) noBreaker(name string, rule *config.Rule) error {
	var known []string
	for i := range b.set.Rules {
		if b.set.Rules[i].CircuitBreaker != nil {
			known = append(known, b.set.Rules[i].Name)
		}
	}
	if rule == nil {
		return notAmong("rule with a circuitBreaker", name, known, "no rule has one")
	}
	if err := b.bypassed(); err != nil {
		return err
	}
	e := admin.Errorf(admin.CodeBadRequest, "the rule %s has no circuitBreaker", name)
	return e.WithHelp("rules with one: %s", few(known, "none"))
}

// bypassed returns an error if breakers are out of force.
func (b breakers) bypassed() error {
	var names []string
	for i := range b.overrides {
		if x := &b.overrides[i]; x.Kind == string(config.KindCircuitBreaker) {
			names = append(names, x.Name)
		}
	}
	switch len(names) {
	case 0:
		return nil
	case 1:
		return admin.Errorf(admin.CodeConflict, "%s takes circuitBreaker out of force", names[0]).WithHelp("easymicro override drop %s ends it", names[0])
	}
	return admin.Errorf(admin.CodeConflict, "%s take circuitBreaker out of force", strings.Join(names, ", ")).
		WithHelp("easymicro override drop NAME ends one")
}

// notAmong returns the error for a name that is not known. none says why there may be none.
func notAmong(what, name string, known []string, none string) error {
	e := admin.Errorf(admin.CodeNotFound, "no %s is named %q", what, name)
	if meant := config.Suggest(name, known); meant != "" {
		return e.WithHelp("did you mean %s?", meant)
	}
	if len(known) == 0 {
		return e.WithHelp("%s", none)
	}
	return e.WithHelp("known: %s", few(known, ""))
}

// few returns the first of many names.
func few(names []string, none string) string {
	const shown = 10
	if len(names) == 0 {
		return none
	}
	if more := len(names) - shown; more > 0 {
		names = append(slices.Clone(names[:shown]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// hold completes an override that keeps breakers open or closed.
func (b breakers) hold(x *admin.Override, q *admin.OverrideRequest) error {
	f, err := b.find(q.Breaker)
	if err != nil {
		return err
	}
	if err := b.bypassed(); err != nil {
		return err
	}
	switch r := f.rule; {
	case r.Mode == config.Shadow || r.Mode == config.Off:
		return admin.Errorf(admin.CodeConflict, "the breaker of %s refuses no calls: its mode is %s", r.Name, r.Mode).
			WithHelp("easymicro override %s mode=enforce puts it in force", r.Name)
	case r.Expired(time.Now()):
		return admin.Errorf(admin.CodeConflict, "the rule %s has expired", r.Name).WithHelp("change expires in %s", r.Position("expires"))
	}
	x.Target, x.Breaker, x.State = f.rule.Name, f.target, q.State
	of, what := f.rule.Name, "all breakers of "+f.rule.Name
	if f.target != "" {
		of = f.list[0].Name
		what = "the breaker " + of
	}
	x.Name = "breaker." + strings.ReplaceAll(of, "/", ".")
	x.Text = "keeps " + what + " " + q.State
	if share := f.rule.EnforceShare; share != nil {
		x.Text += ", for " + share.String() + " of the callers"
	}
	return nil
}

// reset closes the breakers that a name selects, and has them forget what they have counted.
func (b breakers) reset(name, why string) ([]admin.Breaker, error) {
	f, err := b.find(name)
	if err != nil {
		return nil, err
	}
	for _, v := range f.list {
		if v.Override != "" {
			return nil, admin.Errorf(admin.CodeConflict, "%s is kept %s until %s", v.Name, v.State, v.HeldUntil.UTC().Format(time.RFC3339)).
				WithHelp("easymicro override drop %s ends that", v.Override)
		}
	}
	b.policies.ResetBreakers(f.rule.Name, why, func(target string) bool { return f.target == "" || target == f.target })
	f, err = b.find(name)
	if err != nil {
		return nil, err
	}
	return f.list, nil
}

// commandCause returns the cause of a transition by command.
func commandCause(who, why string) string {
	cause := "by command of " + who
	if why != "" {
		cause += ": " + why
	}
	return cause
}
