package policies_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
)

func BenchmarkGuard(b *testing.B) {
	limit, places, patience := rate(1e8, 1e9), concurrency(1000, 0, 0), timeout(5*time.Second)
	breaks := circuit(config.CircuitBreaker{FailureRate: 0.5})
	for _, bench := range []struct {
		name string
		set  []func(*config.Rule)
	}{
		{"none", nil},
		{"timeout", []func(*config.Rule){patience}},
		{"rateLimit", []func(*config.Rule){limit}},
		{"concurrency", []func(*config.Rule){places}},
		{"breaker", []func(*config.Rule){breaks}},
		{"all", []func(*config.Rule){limit, places, patience, breaks}},
		{"shadow", []func(*config.Rule){limit, places, patience, breaks, mode(config.Shadow)}},
		{"keyed", []func(*config.Rule){keyedRate("caller", 0, 1e8, 1e9)}},
		{"keyedByPeer", []func(*config.Rule){keyedRate("peer", 0, 1e8, 1e9)}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var rules []config.Rule
			if bench.set != nil {
				rules = append(rules, newRuleOn("rule", "Arith", bench.set...))
			}
			benchmarkGuard(b, rules)
		})
	}
}

// BenchmarkGuardOthers has rules that cannot match, and must cost nothing.
func BenchmarkGuardOthers(b *testing.B) {
	var rules []config.Rule
	for i := range 10_000 {
		rules = append(rules, newRuleOn(fmt.Sprint("other-", i), fmt.Sprint("Other", i), rate(10, 10)))
	}
	benchmarkGuard(b, rules)
}

func benchmarkGuard(b *testing.B, rules []config.Rule) {
	s, err := compile(rules, targets, nil, policies.Options{})
	if err != nil {
		b.Fatal(err)
	}
	s.Activate()
	ctx, g := b.Context(), s.Guard(mul)
	call := policies.Call{Caller: "web-1", Peer: netip.MustParseAddr("10.0.0.7"), Arrived: time.Now()}
	var t policies.Ticket
	b.ReportAllocs()
	for b.Loop() {
		call.Arrived = time.Now()
		if err := g.Enter(ctx, &call, &t); err != nil {
			b.Fatal(err)
		}
		t.Done(nil)
	}
}

// BenchmarkGuardParallel has all processors at one rule.
func BenchmarkGuardParallel(b *testing.B) {
	rules := []config.Rule{newRuleOn("rule", "Arith", rate(1e8, 1e9), concurrency(1000, 0, 0), timeout(5*time.Second),
		circuit(config.CircuitBreaker{FailureRate: 0.5}))}
	s, err := compile(rules, targets, nil, policies.Options{})
	if err != nil {
		b.Fatal(err)
	}
	g := s.Guard(mul)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		call := policies.Call{Caller: "web-1"}
		var t policies.Ticket
		for pb.Next() {
			call.Arrived = time.Now()
			if err := g.Enter(b.Context(), &call, &t); err != nil {
				b.Error(err)
				return
			}
			t.Done(nil)
		}
	})
}

func BenchmarkCompile10000(b *testing.B) {
	rules, targets := tenThousand()
	rules = completed(rules)
	b.ReportAllocs()
	var s *policies.Snapshot
	for b.Loop() {
		next, err := policies.Compile(rules, targets, s, policies.Options{})
		if err != nil {
			b.Fatal(err)
		}
		s = next
	}
}

// tenThousand are rules of all sorts for a hundred methods.
func tenThousand() ([]config.Rule, []policies.Target) {
	var rules []config.Rule
	var targets []policies.Target
	for i := range 100 {
		targets = append(targets, policies.Target{Service: fmt.Sprint("Service", i/10), Method: fmt.Sprint("Method", i%10)})
	}
	for i := range 10_000 {
		t := targets[i%len(targets)]
		r := newRuleOn(fmt.Sprint("rule-", i), t.Service, method(t.Method))
		switch i / len(targets) % 4 {
		case 0:
			caller(fmt.Sprint("caller-", i))(&r)
			rate(100, 100)(&r)
		case 1:
			caller(fmt.Sprint("group-", i, "-*"))(&r)
			timeout(time.Second)(&r)
		case 2:
			peer(fmt.Sprintf("10.%d.%d.0/24", i/256, i%256))(&r)
			concurrency(10, 10, time.Second)(&r)
		case 3:
			caller(fmt.Sprint("caller-", i), fmt.Sprint("group-", i, "-*"))(&r)
			circuit(config.CircuitBreaker{FailureRate: 0.5})(&r)
		}
		rules = append(rules, r)
	}
	return rules, targets
}
