package policies_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

// What has gone makes room: those that come later have a state of their own.
func TestAnUpstreamThatIsGoneLeavesNoState(t *testing.T) {
	b := newBilling(t, toBilling("calls", to("*"), scoped(""), retry(quick(2)), outlying(thirty)),
		toBilling("methods", to("*"), mode(config.Shadow), scoped(config.ScopeMethod)),
		toBilling("upstreams", to("*"), service("*"), mode(config.Shadow), scoped(config.ScopeUpstream)))
	const rounds = policies.MaxFound + 2
	for i := range rounds {
		name := fmt.Sprint("up", i)
		b.announce(name, name, []string{"a:1"})
		if err := b.call(t.Context(), func(c *outCall) { c.upstream, c.service = name, name }); err != nil {
			t.Fatal(err)
		}
		b.announce(name, name, nil)
	}
	if breakers, endpoints, _ := shown(b.guard.Snapshot()); breakers+endpoints > 0 {
		t.Errorf("%d breakers and %d endpoints are left", breakers, endpoints)
	}
	_ = b.call(t.Context())
	list := b.guard.Snapshot().Breakers()
	if len(list) == 0 || slices.ContainsFunc(list, func(s policies.BreakerStats) bool { return s.Upstream != "billing" }) {
		t.Errorf("%+v", list)
	}
}

func TestAnUpstreamIsGoneOnceAllItsServicesAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", scoped(config.ScopeUpstream)))
		b.announce("billing", "Refunds", []string{"a:1"})
		b.answer = always(errDown)
		b.fail(3)
		b.answer = always(nil)
		for _, step := range []struct {
			name      string
			service   string
			addresses []string
			open      bool
		}{
			{"one service of two is gone", "Refunds", nil, true},
			{"for now nobody serves the other", "Billing", []string{}, true},
			{"it is back", "Billing", []string{"b:1"}, true},
			{"a service that nobody serves is there", "Refunds", []string{}, true},
			{"the first is gone", "Billing", nil, true},
			{"the last is gone", "Refunds", nil, false},
		} {
			b.announce("billing", step.service, step.addresses)
			if err := b.call(t.Context()); (reasonOf(err) == code.ReasonBreakerOpen) != step.open {
				t.Errorf("%s: %v", step.name, err)
			}
		}
	})
}

// Its calls meet the state that the rules show.
func TestAnUpstreamThatComesBackStartsAfreshAndEditsKeepIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, scope := range []string{config.ScopeEndpoint, config.ScopeMethod, config.ScopeUpstream} {
			b := newBilling(t, toBilling("calls", scoped(scope)))
			b.serve("a:1")
			b.answer = always(errDown)
			b.fail(3)
			b.announce("billing", "Billing", nil)
			if left := b.guard.Snapshot().Breakers(); len(left) > 0 {
				t.Errorf("scope %s: left %+v", scope, left)
			}
			b.serve("a:1")
			b.fail(3)
			if err := b.guard.Replace([]config.Rule{toBilling("calls", scoped(scope), timeout(time.Second))}); err != nil {
				t.Fatal(err)
			}
			if err := b.call(t.Context()); reasonOf(err) != code.ReasonBreakerOpen {
				t.Errorf("scope %s: after an edit: %v", scope, err)
			}
			if told := b.transitions(); len(told) != 2 {
				t.Errorf("scope %s: %+v", scope, told)
			}
		}
	})
}

// What an upstream beyond the bound has in common with others goes address by address.
func TestEndpointsThatAreGoneAreDroppedFromWhatUpstreamsShare(t *testing.T) {
	b := newBilling(t, toBilling("calls", to("*"), scoped(""), outlying(thirty)))
	b.callUpstreams(policies.MaxFound)
	b.serve("x:1")
	last := func(c *outCall) { c.upstream, c.service = "last", "last" }
	shared := func() string {
		breakers, endpoints, own := 0, 0, false
		for _, s := range b.guard.Snapshot().Breakers() {
			own = own || s.Upstream == "last"
			if s.Upstream == policies.Other {
				breakers++
			}
		}
		for _, s := range b.guard.Snapshot().Outliers() {
			if s.Upstream == policies.Other {
				endpoints++
			}
		}
		return fmt.Sprintf("%d and %d, own %t", breakers, endpoints, own)
	}
	for _, step := range []struct {
		addresses []string
		want      string
	}{{[]string{"x:1"}, "1 and 1, own false"}, {[]string{"y:1"}, "0 and 0, own false"}, {nil, "1 and 1, own false"}} {
		b.announce("last", "last", step.addresses)
		if step.want[0] == '1' {
			_ = b.call(t.Context(), last)
		}
		if got := shared(); got != step.want {
			t.Errorf("%v: %s, want %s", step.addresses, got, step.want)
		}
	}
	b.announce(policies.Other, policies.Other, nil)
	if got := shared(); got != "1 and 1, own false" {
		t.Errorf("an upstream of the name of all others: %s", got)
	}
}

func TestEndpointsThatComeAfterAnEditAreNamedByTheRuleInForce(t *testing.T) {
	b := newBilling(t, toBilling("calls", scoped("")))
	b.serve("a:1")
	_ = b.call(t.Context())
	if err := b.guard.Replace([]config.Rule{toBilling("calls", to("billing", "orders"), scoped(""))}); err != nil {
		t.Fatal(err)
	}
	b.serve("a:1", "b:1")
	b.answer = always(errDial)
	_ = b.call(t.Context())
	var names []string
	for _, s := range b.guard.Snapshot().Breakers() {
		names = append(names, s.Target)
	}
	if fmt.Sprint(names) != "[a:1 billing b:1]" {
		t.Errorf("%q", names)
	}
}
