package policies

import (
	"errors"

	"github.com/easymicro/easymicro/config"
)

// ClientGuard compiles rules for a client without a manifest. Every service that it calls is an upstream of its name,
// unless the client has another name for it. The documented defaults stand for what is zero; the rules given are not
// changed. The error is config.Problems: they have no positions, but name rule and field.
func ClientGuard(rules []config.Rule) (*Upstreams, error) {
	u := &Upstreams{own: true}
	if err := u.Replace(rules); err != nil {
		return nil, err
	}
	return u, nil
}

// Replace puts other rules into force, and keeps what those of the same name have learned. Calls that run go on under
// the old ones. With an error, which is config.Problems, the old stay. The rules of a set cannot be replaced.
func (u *Upstreams) Replace(rules []config.Rule) error {
	if u == nil || !u.own {
		return errors.New("policies: these rules are those of a set, and change with it")
	}
	rules, problems := config.CompleteRules(rules)
	for i := range rules {
		if r := &rules[i]; !r.ClientSide() {
			problems = append(problems, config.Problem{
				Path: r.Path() + ".match.upstream", Message: "is required: a client has no other rules; \"*\" stands for all that it calls",
			})
		}
	}
	problems = append(problems, ValidateTies(rules)...)
	if errs := problems.Sort().Errors(); len(errs) > 0 {
		return errs
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.made++
	next, err := Compile(rules, nil, u.current.Load(), Options{Revision: u.made, OnTransition: u.transition})
	if err != nil {
		return err
	}
	next.Activate()
	u.current.Store(next)
	return nil
}

// OnTransition has tell told of every change of a breaker's state, of every endpoint that is ejected or comes back, and of
// rate limits of which all keys are in use; see Options. The last one set counts; nil is nobody.
func (u *Upstreams) OnTransition(tell func(Transition)) { u.told.Store(&tell) }

func (u *Upstreams) transition(t Transition) {
	if tell := u.told.Load(); tell != nil && *tell != nil {
		(*tell)(t)
	}
}
