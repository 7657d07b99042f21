package policies

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/lint"
	"github.com/easymicro/easymicro/wire/client"
)

// ClientRules applies the client-side rules of a set, those that match upstreams. It implements client.Guard. A nil
// ClientRules lets every call pass.
//
// The timeout comes first: it counts from Do and covers all attempts. Then come rateLimit and concurrency, then retry and
// hedge around the attempts. Each attempt asks the breakers of scope method and upstream, and for each endpoint that the
// client is about to use outlierDetection and the breakers of scope endpoint.
type ClientRules struct {
	current atomic.Pointer[Snapshot]

	mu           sync.Mutex // held by Replace
	own          bool       // made by ClientGuard
	made         int        // sets of rules
	onTransition atomic.Pointer[func(Transition)]
}

// Do carries out a call under the rules; see client.Guard. A refusal is a *code.Error that names the rule. Without
// a rule about the call it is one Attempt.
func (u *ClientRules) Do(ctx context.Context, call client.OutgoingCall) (slot int, err error) {
	slot, _, err = u.DoWithin(ctx, call, time.Time{})
	return slot, err
}

// DoWithin is Do for a call made while another one is served. deadline is the deadline that a rule of this host has set for the
// other call, or zero: a deadline of ctx that equals it does not count as the caller's own. DoWithin also returns the rules
// that would have refused the call.
func (u *ClientRules) DoWithin(ctx context.Context, call client.OutgoingCall, deadline time.Time) (slot int, would []ShadowRefusal, err error) {
	var s *Snapshot
	if u != nil {
		s = u.current.Load()
	}
	if s == nil || s.outbound.empty() {
		return 0, nil, call.Attempt(ctx, 0, nil)
	}
	g := s.guardOf(call.Upstream(), call.Service(), call.Method())
	if g.empty() {
		return 0, nil, call.Attempt(ctx, 0, nil)
	}
	s.activate()
	c, _ := s.calls.Get().(*clientCall)
	if c == nil {
		c = new(clientCall)
	}
	c.clock.host, c.flight.Call, c.flight.Pool, c.flight.Deadline = s.host, call, s.pool, &c.deadline
	slot, err = c.run(ctx, g, deadline)
	would = c.call.shadowed
	c.deciding = deciding{} // all attempts have ended
	s.calls.Put(c)
	return slot, would, err
}

// Pool returns the Pool of the endpoints that the rules keep state of; see client.Guard.
func (u *ClientRules) Pool() *client.Pool {
	if u != nil {
		if s := u.current.Load(); s != nil {
			return s.pool
		}
	}
	return nil
}

// ClientGuard compiles rules for a client without a manifest. Every service that it calls is an upstream of its name,
// unless the client has another name for it. Zero values get the documented defaults; the given rules are not changed.
// The error is config.Problems, which have no positions but name the rule and the field.
func ClientGuard(rules []config.Rule) (*ClientRules, error) {
	u := &ClientRules{own: true}
	if err := u.Replace(rules); err != nil {
		return nil, err
	}
	return u, nil
}

// Replace replaces the rules. Rules keep the state of rules of the same name; calls in flight finish under the old rules.
// If the error, which is config.Problems, is not nil, the old rules stay in force. The rules of a set cannot be replaced.
func (u *ClientRules) Replace(rules []config.Rule) error {
	if u == nil || !u.own {
		return errors.New("policies: the rules of a set change with the set")
	}
	rules, problems := config.CompleteRules(rules)
	for i := range rules {
		if r := &rules[i]; !r.ClientSide() {
			problems = append(problems, config.Problem{
				Path: r.Path() + ".match.upstream", Message: "is required: a client has only client-side rules; \"*\" matches every upstream",
			}.Coded(lint.NeedsOther))
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

// OnTransition sets the function that receives transitions, as in Options, in place of the one before. It may be nil.
func (u *ClientRules) OnTransition(receive func(Transition)) { u.onTransition.Store(&receive) }

func (u *ClientRules) transition(t Transition) {
	if receive := u.onTransition.Load(); receive != nil && *receive != nil {
		(*receive)(t)
	}
}

// Snapshot returns the rules in force, for their state and what they decided. It is nil for a nil ClientRules.
func (u *ClientRules) Snapshot() *Snapshot {
	if u == nil {
		return nil
	}
	return u.current.Load()
}
