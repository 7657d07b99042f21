package policies_test

import (
	"testing"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
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
