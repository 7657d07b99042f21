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

func (outbound) Upstream() string                                           { return "till" }
func (outbound) Service() string                                            { return "Till" }
func (outbound) Method() string                                             { return "Mul" }
func (outbound) Caller() string                                             { return "" }
func (outbound) Attempt(context.Context, int, client.Endpoints) (err error) { return nil }

// What rules know of an upstream outlives the client that called it, until the next one has had time to call it as well.
func TestListingsAreLeftToTheNextClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d policies.Directory
		rules, problems := config.CompleteRules([]config.Rule{{
			Name: "breaks", Match: config.Match{Upstream: config.Patterns{"*"}}, CircuitBreaker: &config.CircuitBreaker{ConsecutiveFailures: 1, Scope: config.ScopeUpstream},
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
				t.Errorf("%s: %d breakers, want %d", when, n, want)
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
		third.List("till", "Till").Set([]string{"a:1"}) // a handler that is being opened calls at once
		third.succeed(&second)
		own.Close()
		known("so has the next", 1)

		var last listings
		last.directory = &d
		last.succeed(&third)
		synctest.Wait()
		known("nobody has called it yet", 1)
		var after listings
		after.directory = &d
		after.succeed(&last) // nor did the next
		known("it is left once more", 1)
		time.Sleep(leftFor + time.Second)
		known("nobody came to call it", 0)
		call()
		end := after.List("till", "Till")
		known("it is called anew", 1)
		end.Close()
		known("it is called no more", 0)
		after.forsake()
	})
}
