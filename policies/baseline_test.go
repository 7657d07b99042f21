package policies_test

import (
	"context"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/client"
)

// 1: an edit that changes nothing has no baseline.
func TestNeutralEditHasNoBaseline(t *testing.T) {
	r := newRuleOn("r", "Arith", rate(1000, 1000))
	c := newChain(t, r)
	old := c.now
	described := r
	described.Description = "new"
	c.edit(described)
	b, err := policies.NewBaseline(old, c.now, changesOf("r", "x"), nil, false, false)
	if err != nil || b != nil {
		t.Errorf("baseline %v, %v, want none", b, err)
	}
}

// 2: in a chain of edits, the baseline decides by its own limits.
func TestChainKeepsTheLimitsOfTheBaseline(t *testing.T) {
	c := newChain(t, newRuleOn("r", "Arith", rate(1000, 1000)))
	first := c.now
	second, err := compile([]config.Rule{newRuleOn("r", "Arith", rate(1, 1))}, targets, first, policies.Options{Revision: 2})
	if err != nil {
		t.Fatal(err)
	}
	before, err := policies.NewBaseline(first, second, changesOf("r"), nil, false, false)
	if err != nil {
		t.Fatal(err)
	}
	second.Activate()
	next, err := compile([]config.Rule{newRuleOn("r", "Arith", rate(2, 2))}, targets, second, policies.Options{Revision: 3})
	if err != nil {
		t.Fatal(err)
	}
	b, err := policies.NewBaseline(first, next, changesOf("r"), before, false, false)
	if err != nil {
		t.Fatal(err)
	}
	passed := 0
	for range 10 {
		var ticket policies.Ticket
		if b.Guard(mul).Enter(t.Context(), &policies.Call{}, &ticket) == nil {
			passed++
			ticket.Done(nil)
		}
	}
	if passed < 9 {
		t.Errorf("%d of 10 calls passed the baseline of rate 1000", passed)
	}
}

// 3: a deny of a named caller in a method is intended, whatever the baseline had.
func TestDenyByNameIsIntended(t *testing.T) {
	c := newChain(t)
	old := c.now
	c.edit(newRuleOn("x", "Arith", access(nil, []config.AccessEntry{{Caller: config.Patterns{"partner"}, Methods: config.Patterns{"Mul"}}})))
	b, err := policies.NewBaseline(old, c.now, changesOf("r", "x"), nil, false, false)
	if err != nil {
		t.Fatal(err)
	}
	call := policies.Call{Caller: "partner"}
	var ticket policies.Ticket
	if err := b.Guard(mul).Enter(t.Context(), &call, &ticket); err != nil {
		t.Fatal(err)
	}
	if !b.Intended("x@r2", config.KindAccess, policies.Target{Service: "Arith", Method: "Mul"}, &call) {
		t.Error("a deny that names the caller counts")
	}
}

// 7: an open breaker of a service of other hosts is open in the baseline too.
func TestBreakersOfOtherHostsAreCopied(t *testing.T) {
	remote := func(string) bool { return true }
	far := policies.Target{Service: "Far", Method: "Get"}
	a := newRuleOn("a", "Far", circuit(tripsAt(3)))
	old, err := compile([]config.Rule{a, newRuleOn("b", "Arith", circuit(tripsAt(3)))}, targets, nil, policies.Options{Revision: 1, Remote: remote})
	if err != nil {
		t.Fatal(err)
	}
	old.Activate()
	for range 3 {
		var ticket policies.Ticket
		if err := old.Resolve(far).Enter(t.Context(), &policies.Call{}, &ticket); err != nil {
			t.Fatal(err)
		}
		ticket.Done(errDown)
	}
	next, err := compile([]config.Rule{a, newRuleOn("b", "Arith", circuit(tripsAt(4)))}, targets, old, policies.Options{Revision: 2, Remote: remote})
	if err != nil {
		t.Fatal(err)
	}
	b, err := policies.NewBaseline(old, next, changesOf("b"), nil, false, false)
	if err != nil {
		t.Fatal(err)
	}
	next.Activate()
	var ticket policies.Ticket
	refusal := next.Resolve(far).Enter(t.Context(), &policies.Call{}, &ticket)
	if refusal == nil {
		t.Fatal("the breaker is not open")
	}
	var there policies.Ticket
	if b.Guard(far).Enter(t.Context(), &policies.Call{}, &there) == nil && b.Differs("a@r2", config.KindCircuitBreaker) {
		t.Errorf("an unchanged open breaker (%v) is evidence against an edit of another one", refusal)
	}
}

func changesOf(rules ...string) (changes config.Changes) {
	for _, r := range rules {
		changes = append(changes, config.Change{Subject: r})
	}
	return changes
}

// What an edit has taught a breaker goes with it; what the rules before would have learned stays.
func TestABreakerThatOnlyTheEditOpenedIsClosedWhenItIsUndone(t *testing.T) {
	a := func(n int) config.Rule { return newRuleOn("a", "Arith", circuit(tripsAt(n))) }
	div := policies.Target{Service: "Arith", Method: "Div"}
	served := []policies.Target{mul, div}
	var told []policies.Transition
	revision := func(n int, trips int, prev *policies.Snapshot, restore *policies.Baseline) *policies.Snapshot {
		s, err := compile([]config.Rule{a(trips)}, served, prev, policies.Options{Revision: n, Restore: restore, OnTransition: func(t policies.Transition) { told = append(told, t) }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	fail := func(of policies.Target, n int, guards ...func(policies.Target) *policies.Guard) {
		for range n {
			for _, guard := range guards {
				var ticket policies.Ticket
				if guard(of).Enter(t.Context(), &policies.Call{}, &ticket) == nil {
					ticket.Done(errDown)
				}
			}
		}
	}
	passes := func(s *policies.Snapshot, of policies.Target) bool {
		var ticket policies.Ticket
		err := s.Guard(of).Enter(t.Context(), &policies.Call{}, &ticket)
		ticket.Cancel()
		return err == nil
	}
	old := revision(1, 5, nil, nil)
	old.Activate()
	fail(div, 5, old.Guard) // for reasons of its own
	second := revision(2, 3, old, nil)
	before, err := policies.NewBaseline(old, second, changesOf("a"), nil, false, false)
	if err != nil {
		t.Fatal(err)
	}
	second.Activate()
	fail(mul, 3, second.Guard, before.Guard)
	third := revision(3, 2, second, nil) // within the window
	b, err := policies.NewBaseline(old, third, changesOf("a"), before, false, false)
	if err != nil {
		t.Fatal(err)
	}
	third.Activate()
	if passes(third, mul) || passes(third, div) {
		t.Fatal("the breakers are not open")
	}
	undone := revision(4, 5, third, b)
	undone.Activate()
	if !passes(undone, mul) || passes(undone, div) {
		t.Errorf("Mul passes: %t, Div passes: %t; want that of Mul closed, and that of Div open", passes(undone, mul), passes(undone, div))
	}
	if last := told[len(told)-1]; last.Target != "Arith/Mul" || last.To != "closed" || last.Cause != "the edit under which it opened was rolled back" {
		t.Errorf("%+v", told)
	}
	fail(mul, 5, undone.Guard)
	if passes(undone, mul) {
		t.Error("the breaker does not open any more")
	}
}

// Breakers of calls to upstreams have no copies: those that opened since an edit of their timeout are closed with it.
func TestABreakerOfAnUpstreamThatOpenedUnderAShorterTimeoutIsClosedWhenItIsUndone(t *testing.T) {
	rules := func(limit time.Duration) []config.Rule {
		return []config.Rule{toBilling("calls", timeout(limit)), toBilling("breaker", scoped(config.ScopeUpstream)), newRuleOn("x", "Arith", rate(1, 1))}
	}
	revision := func(n int, limit time.Duration, prev *policies.Snapshot, restore *policies.Baseline) *policies.Snapshot {
		s, err := compile(rules(limit), targets, prev, policies.Options{Revision: n, Restore: restore, Upstreams: []string{"billing"}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	passes := func(s *policies.Snapshot, call outcome) bool {
		_, _, err := s.ClientRules().DoWithin(t.Context(), call, time.Time{})
		return err == nil
	}
	old := revision(1, time.Second, nil, nil)
	old.Activate()
	if !passes(old, outcome{}) {
		t.Fatal("the breaker is open")
	}
	next := revision(2, time.Millisecond, old, nil)
	b, err := policies.NewBaseline(old, next, changesOf("calls"), nil, false, false)
	if err != nil {
		t.Fatal(err)
	}
	next.Activate()
	for range 3 {
		passes(next, outcome{errDown})
	}
	if passes(next, outcome{}) {
		t.Fatal("the breaker is not open")
	}
	unrelated := revision(3, time.Second, next, nil)
	unrelated.Activate()
	if passes(unrelated, outcome{}) {
		t.Error("another edit closes the breaker")
	}
	undone := revision(4, time.Second, unrelated, b)
	undone.Activate()
	if !passes(undone, outcome{}) {
		t.Error("the breaker is still open")
	}
}

// outcome is a call to billing that ends at once.
type outcome struct{ err error }

func (outcome) Upstream() string                                            { return "billing" }
func (outcome) Service() string                                             { return "Billing" }
func (outcome) Method() string                                              { return "Get" }
func (outcome) Caller() string                                              { return "" }
func (outcome) Get(string) string                                           { return "" }
func (outcome) Idempotent() bool                                            { return true }
func (o outcome) Attempt(context.Context, int, client.EndpointFilter) error { return o.err }
func (outcome) Redial(int, func(string) bool) bool                          { return false }

// A set that is compiled for the comparison only, as the last good one at a start, sheds by the utilization of the one in force.
func TestABaselineShedsByTheUtilizationInForce(t *testing.T) {
	old, err := compile([]config.Rule{newRuleOn("busy", "Arith", shed(0.8))}, targets, nil, policies.Options{})
	succeeds(t, err)
	c := newChain(t, newRuleOn("busy", "Arith", shed(0.7)))
	b, err := policies.NewBaseline(old, c.now, changesOf("busy"), nil, false, false)
	succeeds(t, err)
	for cpu, want := range map[float64]int{0.75: 0, 0.9: 475} {
		c.cpu = cpu
		refused := 0
		for range 1000 {
			var ticket policies.Ticket
			if b.Guard(mul).Enter(t.Context(), &policies.Call{}, &ticket) != nil {
				refused++
				continue
			}
			ticket.Done(nil)
		}
		if refused < want-3 || refused > want+3 {
			t.Errorf("CPU %v: %d of 1000 calls are refused, want %d", cpu, refused, want)
		}
	}
}
