package policies_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wildcard"
)

func except(e ...config.Exception) func(*config.Rule) {
	return func(r *config.Rule) { r.Match.Except = e }
}

var (
	ops     = config.Exception{Caller: config.Patterns{"ops", "test-*"}}
	office  = config.Exception{Peer: config.Patterns{"10.0.0.0/8"}}
	opsHome = config.Exception{Caller: config.Patterns{"ops"}, Peer: config.Patterns{"10.0.0.0/8"}}
)

func TestWhatIsExceptedIsLeftToTheOtherRules(t *testing.T) {
	nobody := access(nil, []config.AccessEntry{{Caller: config.Patterns{"*"}}})
	for _, test := range []struct {
		name    string
		except  []config.Exception
		refused []policies.Call
		free    []policies.Call
	}{
		{"callers", []config.Exception{ops}, []policies.Call{from("web"), from("oops"), {}}, []policies.Call{from("ops"), from("test-7")}},
		{"peers", []config.Exception{office}, []policies.Call{at("192.0.2.1"), {}}, []policies.Call{at("10.1.2.3")}},
		{
			"all fields of one",
			[]config.Exception{opsHome},
			[]policies.Call{from("ops"), at("10.0.0.1")},
			[]policies.Call{{Caller: "ops", Peer: at("10.0.0.1").Peer}},
		},
		{"each of several", []config.Exception{ops, office}, []policies.Call{from("web")}, []policies.Call{from("ops"), at("10.0.0.1")}},
		{"a method whole", []config.Exception{{Method: config.Patterns{"Mul"}}}, nil, []policies.Call{{}, from("ops")}},
		{"another method", []config.Exception{{Method: config.Patterns{"Div"}, Caller: config.Patterns{"ops"}}}, []policies.Call{{}, from("ops")}, nil},
		{
			"callers of a service",
			[]config.Exception{{Service: config.Patterns{"Ar*"}, Caller: config.Patterns{"ops"}}},
			[]policies.Call{{}},
			[]policies.Call{from("ops")},
		},
	} {
		for _, named := range []func(*config.Rule){caller(), caller("*"), caller("ops", "web", "oops", "test-7", "anonymous")} {
			c := newChain(t, newRuleOn("closed", "*", nobody, except(test.except...), named))
			for _, call := range test.refused {
				if e := refusal(t, c.call(mul, call, nil)); e.Code != code.PermissionDenied {
					t.Errorf("%s: %+v: %v", test.name, call, e)
				}
			}
			for _, call := range test.free {
				if err := c.call(mul, call, nil); err != nil {
					t.Errorf("%s: %+v: %v", test.name, call, err)
				}
			}
		}
	}
}

func TestExceptHasNoPartInSpecificity(t *testing.T) {
	c := newChain(t,
		newRuleOn("all", "Arith", except(ops), timeout(time.Second)),
		newRuleOn("some", "Arith", caller("o*"), timeout(time.Minute)),
		newRuleOn("host", "*", timeout(time.Hour)),
	)
	for _, test := range []struct{ caller, want string }{{"ops", "[some]"}, {"oops", "[some]"}, {"web", "[all]"}, {"test-1", "[host]"}} {
		if got := names(c.now.Explain(mul, test.caller, netip.Addr{}).Kinds[0].Applies); got != test.want {
			t.Errorf("%s: %s, want %s", test.caller, got, test.want)
		}
	}
}

func TestExplainSaysWhatWasExcepted(t *testing.T) {
	c := newChain(t,
		newRuleOn("callers", "*", except(ops), timeout(time.Second)),
		newRuleOn("both", "A*", except(opsHome), timeout(2*time.Second)),
		newRuleOn("method", "Arith", except(config.Exception{Method: config.Patterns{"Div", "M*"}}), timeout(3*time.Second)),
	)
	var got []string
	for _, l := range c.now.Explain(mul, "test-1", netip.Addr{}).Kinds[0].Losers {
		got = append(got, l.Rule+": "+l.Reason)
	}
	for _, l := range c.now.Explain(mul, "ops", netip.MustParseAddr("10.0.0.1")).Kinds[0].Losers {
		got = append(got, l.Rule+": "+l.Reason)
	}
	want := []string{
		"callers: except caller test-*", "method: except method M*",
		"callers: except caller ops", "both: except caller ops, peer 10.0.0.0/8", "method: except method M*",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestClientSideRulesHaveExceptions(t *testing.T) {
	rules := []config.Rule{
		{Name: "calls", Match: config.Match{Upstream: config.Patterns{"*"}, Except: config.Exceptions{
			{Upstream: config.Patterns{"billing"}}, {Method: config.Patterns{"Get*"}, Caller: config.Patterns{"ops"}},
		}}, Timeout: new(config.Duration(time.Second))},
	}
	s, err := compile(rules, nil, nil, policies.Options{Upstreams: []string{"billing", "orders"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ upstream, method, caller, want string }{
		{"billing", "Put", "", "except upstream billing"},
		{"orders", "GetOne", "ops", "except method Get*, caller ops"},
		{"orders", "GetOne", "web", ""},
		{"orders", "Put", "ops", ""},
	} {
		k := s.ExplainUpstream(test.upstream, "X", test.method, test.caller).Kinds[0]
		got := ""
		if len(k.Losers) == 1 {
			got = k.Losers[0].Reason
		}
		if got != test.want || len(k.Applies)+len(k.Losers) != 1 {
			t.Errorf("%+v: %+v", test, k)
		}
	}
}

func TestARuleWhoseExceptLeavesNoMethodIsReported(t *testing.T) {
	c := newChain(t,
		newRuleOn("left", "Arith", except(config.Exception{Service: config.Patterns{"Ar*"}}), timeout(time.Second)),
		newRuleOn("some", "*", except(config.Exception{Service: config.Patterns{"Ar*"}}), timeout(time.Second)),
	)
	p := c.now.Unmatched()
	if len(p) != 1 || p[0].Message != "excludes every method of this host that the rule matches: rule left has no effect here" {
		t.Errorf("%v", p)
	}
}

func TestRulesThatExceptTakesApartDoNotTie(t *testing.T) {
	patience := timeout(time.Second)
	withMethod := func(m, c string) config.Exception {
		return config.Exception{Method: config.Patterns{m}, Caller: config.Patterns{c}}
	}
	for _, test := range []struct {
		a, b func(*config.Rule)
		ties bool
	}{
		{caller("p*"), caller("q*"), false},
		{caller("*a"), caller("a*"), true},
		{except(ops), caller(), true},
		{caller("pa*"), func(r *config.Rule) {
			caller("p*a")(r)
			except(config.Exception{Caller: config.Patterns{"pa*"}})(r)
		}, false},
		{method("Get*"), func(r *config.Rule) { method("*All")(r) }, true},
		{method("Get*"), func(r *config.Rule) { method("*All")(r); except(config.Exception{Method: config.Patterns{"G*"}})(r) }, false},
		{method("Get*"), func(r *config.Rule) {
			method("*All")(r)
			except(config.Exception{Method: config.Patterns{"GetAll"}})(r)
		}, true},
		{method("Get*"), func(r *config.Rule) { method("*All")(r); except(withMethod("G*", "*"))(r) }, false},
		{method("Get*"), func(r *config.Rule) { method("*All")(r); except(withMethod("G*", "a*"))(r) }, true},
		{peer("10.0.0.0/8"), func(r *config.Rule) {
			peer("10.0.0.0/8")(r)
			except(config.Exception{Peer: config.Patterns{"10.0.0.0/9"}}, config.Exception{Peer: config.Patterns{"10.128.0.0/9"}})(r)
		}, false},
		{peer("10.0.0.0/8"), func(r *config.Rule) {
			peer("10.0.0.0/8")(r)
			except(config.Exception{Peer: config.Patterns{"10.0.0.0/9", "10.128.0.0/10"}})(r)
		}, true},
	} {
		a, b := newRuleOn("a", "Arith", patience, test.a), newRuleOn("b", "Arith", patience, test.b)
		if a.Match.Method == nil && b.Match.Method == nil && len(a.Match.Caller)+len(a.Match.Peer) == 0 {
			a.Match.Method, b.Match.Method = config.Patterns{"Get"}, config.Patterns{"Get"}
		}
		for _, pair := range [][]config.Rule{{a, b}, {b, a}} {
			if got := policies.ValidateTies(pair); len(got) > 0 != test.ties {
				t.Errorf("%+v and %+v: %v", pair[0].Match, pair[1].Match, got)
			}
		}
	}
}

// A universe of calls that is large enough to tell the patterns below apart: x is in none of them.
var (
	universeNames = []string{"a", "b", "x", "aa", "ab", "ba", "bb", "ax", "xb", "axb", "aab", "abb", "bxa", "xx", "xax", "abab"}
	universePeers = []netip.Addr{{}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.200.0.1"), netip.MustParseAddr("192.0.2.1")}
	drawnNames    = rapid.SampledFrom([]string{"a", "b", "ab", "a*", "*b", "*", "a*b", "*a*"})
	drawnPeers    = rapid.SampledFrom([]string{"10.0.0.0/8", "10.0.0.1", "10.0.0.0/9", "10.128.0.0/9", "0.0.0.0/0"})
)

func drawn(t *rapid.T, name string, from *rapid.Generator[string]) config.Patterns {
	return rapid.SliceOfN(from, 0, 2).Draw(t, name)
}

func drawnMatch(t *rapid.T, service string) config.Match {
	m := config.Match{
		Service: config.Patterns{service}, Method: drawn(t, "method", drawnNames),
		Caller: drawn(t, "caller", drawnNames), Peer: drawn(t, "peer", drawnPeers),
	}
	for range rapid.IntRange(0, 2).Draw(t, "exceptions") {
		m.Except = append(m.Except, config.Exception{
			Method: drawn(t, "not method", drawnNames), Caller: drawn(t, "not caller", drawnNames), Peer: drawn(t, "not peer", drawnPeers),
		})
	}
	return m
}

// naiveMatch is what Match promises, word by word.
func naiveMatch(m *config.Match, method, caller string, peer netip.Addr) bool {
	fits := func(methods, callers, peers config.Patterns) bool {
		in := func(p string) bool { n, _ := policies.ParseNetwork(p); return n.Contains(peer) }
		return (len(methods) == 0 || wildcard.MatchAny(methods, method)) && (len(callers) == 0 || wildcard.MatchAny(callers, caller)) &&
			(len(peers) == 0 || slices.ContainsFunc(peers, in))
	}
	return fits(m.Method, m.Caller, m.Peer) && !slices.ContainsFunc(m.Except, func(e config.Exception) bool {
		return !e.IsZero() && fits(e.Method, e.Caller, e.Peer)
	})
}

func TestRulesMatchWhatTheirWordsSay(t *testing.T) {
	nobody := access(nil, []config.AccessEntry{{Caller: config.Patterns{"*"}}})
	all := make([]policies.Target, len(universeNames))
	for i, name := range universeNames {
		all[i] = policies.Target{Service: "S", Method: name}
	}
	rapid.Check(t, func(t *rapid.T) {
		rules := make([]config.Rule, rapid.IntRange(1, 3).Draw(t, "rules"))
		for i := range rules {
			rules[i] = config.Rule{Name: fmt.Sprint("r", i), Match: drawnMatch(t, "S")}
			nobody(&rules[i])
		}
		s, err := compile(rules, all, nil, policies.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range all {
			for _, caller := range universeNames {
				for _, peer := range universePeers {
					want := slices.ContainsFunc(rules, func(r config.Rule) bool { return naiveMatch(&r.Match, target.Method, caller, peer) })
					var ticket policies.Ticket
					if err := s.Guard(target).Enter(t.Context(), &policies.Call{Caller: caller, Peer: peer}, &ticket); (err != nil) != want {
						t.Fatalf("%v of %s from %v: %v", target, caller, peer, err)
					}
					applied := false
					for _, k := range s.Explain(target, caller, peer).Kinds {
						applied = applied || len(k.Applies) > 0
					}
					if applied != want {
						t.Fatalf("%v of %s from %v: explain says %v", target, caller, peer, applied)
					}
				}
			}
		}
	})
}

// No tie is reported that is none, and whatever is reported as none has no common call in the universe.
func TestTiesAreTheRulesThatShareACall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := config.Rule{Name: "a", Match: drawnMatch(t, "S"), Timeout: new(config.Duration(time.Second))}
		b := config.Rule{Name: "b", Match: drawnMatch(t, "S"), Timeout: new(config.Duration(time.Second))}
		tied := len(policies.ValidateTies([]config.Rule{a, b})) > 0
		shared := false // a call that both match equally narrowly
		for _, method := range universeNames {
			for _, caller := range universeNames {
				for _, peer := range universePeers {
					if naiveMatch(&a.Match, method, caller, peer) && naiveMatch(&b.Match, method, caller, peer) {
						shared = shared || policies.EqualRanks(&a, &b, policies.Target{Service: "S", Method: method}, &policies.Call{Caller: caller, Peer: peer})
					}
				}
			}
		}
		if shared && !tied {
			t.Errorf("%+v and %+v share a call and do not tie", a.Match, b.Match)
		}
		if tied && !shared && len(a.Match.Method) < 2 && len(b.Match.Method) < 2 && len(a.Match.Caller) < 2 && len(b.Match.Caller) < 2 &&
			len(a.Match.Peer) < 2 && len(b.Match.Peer) < 2 { // in a list a narrower element may win for all that are shared
			t.Errorf("%+v and %+v tie and share no call", a.Match, b.Match)
		}
	})
}
