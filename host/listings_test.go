package host

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/client"
)

// outbound is a call to an upstream that goes well.
type outbound struct{ client.Guarded }

func (outbound) Upstream() string { return "till" }
func (outbound) Service() string  { return "Till" }
func (outbound) Method() string   { return "Mul" }
func (outbound) Caller() string   { return "" }

func (outbound) Attempt(_ context.Context, _ int, endpoints client.Endpoints) error {
	if endpoints != nil && endpoints.Admit("a:1") {
		endpoints.Settle("a:1", nil)
	}
	return nil
}

// What rules know of an upstream outlives the client that called it, until the next one has had time to call it as well.
func TestListingsAreLeftToTheNextClient(t *testing.T) {
	for _, scope := range []string{config.ScopeEndpoint, config.ScopeUpstream} {
		synctest.Test(t, func(t *testing.T) { testSuccession(t, scope) })
	}
}

func testSuccession(t *testing.T, scope string) {
	var d policies.Directory
	rules, problems := config.CompleteRules([]config.Rule{{
		Name: "breaks", Match: config.Match{Upstream: config.Patterns{"*"}}, CircuitBreaker: &config.CircuitBreaker{ConsecutiveFailures: 1, Scope: scope},
	}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	s, err := policies.Compile(rules, nil, nil, policies.Options{Directory: &d})
	if err != nil {
		t.Fatal(err)
	}
	s.Activate()
	known := func(when string, want int) {
		t.Helper()
		if n := len(slices.Collect(s.Breakers())); n != want {
			t.Errorf("scope %s: %s: %d breakers, want %d", scope, when, n, want)
		}
	}
	call := func() {
		if _, err := s.Upstreams().Do(t.Context(), outbound{}); err != nil {
			t.Error(err)
		}
	}
	first, second, third := listings{directory: &d}, listings{directory: &d}, listings{directory: &d}
	old := first.List("till", "Till")
	old.Set([]string{"a:1"})
	call()
	second.succeed(&first)
	old.Set(nil)
	old.Close()
	known("its client has gone", 1)
	own := second.List("till", "Till")
	own.Set([]string{"a:1"})
	opened := third.List("till", "Till") // a handler that is being opened calls at once
	third.succeed(&second)
	own.Close()
	known("so has the next, while the third has no answer yet", 1)
	fourth, fifth, sixth := listings{directory: &d}, listings{directory: &d}, listings{directory: &d}
	fourth.List("till", "Till").Set([]string{"a:1", "b:1"})
	fourth.succeed(&third)
	opened.Close()
	known("the fourth has one of its own", 1)
	fifth.succeed(&fourth)
	sixth.succeed(&fifth)
	known("nobody came to call it, twice", 1)
	time.Sleep(leftFor + time.Second)
	known("nobody came for long", 0)
	call()
	end := sixth.List("till", "Till")
	end.Set([]string{"a:1"})
	known("it is called anew", 1)
	end.Close()
	known("it is called no more", 0)
}
