package policies_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	mul     = policies.Target{Service: "Arith", Method: "Mul"}
	div     = policies.Target{Service: "Arith", Method: "Div"}
	export  = policies.Target{Service: "Orders", Method: "Export"}
	targets = []policies.Target{mul, div, export}
)

// newRuleOn is a rule for all calls of a service.
func newRuleOn(name, service string, set ...func(*config.Rule)) config.Rule {
	r := config.Rule{Name: name, Match: config.Match{Service: config.Patterns{service}}}
	for _, f := range set {
		f(&r)
	}
	return r
}

func method(m ...string) func(*config.Rule)  { return func(r *config.Rule) { r.Match.Method = m } }
func caller(c ...string) func(*config.Rule)  { return func(r *config.Rule) { r.Match.Caller = c } }
func peer(p ...string) func(*config.Rule)    { return func(r *config.Rule) { r.Match.Peer = p } }
func mode(m config.Mode) func(*config.Rule)  { return func(r *config.Rule) { r.Mode = m } }
func was(name string) func(*config.Rule)     { return func(r *config.Rule) { r.Was = name } }
func expires(t time.Time) func(*config.Rule) { return func(r *config.Rule) { r.Expires = t } }

func enforceShare(s config.Share) func(*config.Rule) {
	return func(r *config.Rule) { r.EnforceShare = &s }
}

func timeout(d time.Duration) func(*config.Rule) {
	return func(r *config.Rule) { r.Timeout = (*config.Duration)(&d) }
}

func concurrency(maximum, queue int, wait time.Duration) func(*config.Rule) {
	return func(r *config.Rule) {
		r.Concurrency = &config.Concurrency{Max: maximum, Queue: queue, QueueTimeout: config.Duration(wait)}
	}
}

func shed(above config.Share) func(*config.Rule) {
	return func(r *config.Rule) { r.Shed = &config.Shed{CPUAbove: above} }
}

func adaptive(minimum, maximum int) func(*config.Rule) {
	return func(r *config.Rule) {
		r.Concurrency = &config.Concurrency{Adaptive: &config.Adaptive{Min: minimum, Max: maximum}}
	}
}

func priority(p config.Priority) func(*config.Rule) {
	return func(r *config.Rule) { r.Priority = &p }
}

// rate is a limit of calls a second.
func rate(perSecond float64, burst int64) func(*config.Rule) {
	return func(r *config.Rule) { r.RateLimit = &config.RateLimit{Rate: config.Rate(perSecond), Burst: burst} }
}

func waiting(perSecond float64, burst int64, maxWait time.Duration) func(*config.Rule) {
	return func(r *config.Rule) {
		rate(perSecond, burst)(r)
		r.RateLimit.OnExceed, r.RateLimit.MaxWait = config.OnExceedWait, config.Duration(maxWait)
	}
}

func keyedRate(key string, maxKeys int, perSecond float64, burst int64) func(*config.Rule) {
	return func(r *config.Rule) {
		rate(perSecond, burst)(r)
		r.RateLimit.Key, r.RateLimit.MaxKeys = strings.Fields(key), maxKeys
	}
}

func circuit(c config.CircuitBreaker) func(*config.Rule) {
	return func(r *config.Rule) { r.CircuitBreaker = &c }
}

func access(allow, deny []config.AccessEntry) func(*config.Rule) {
	return func(r *config.Rule) { r.Access = &config.Access{Allow: allow, Deny: deny} }
}

func refusesKeyless(r *config.Rule) { r.RateLimit.OnMissingKey = config.OnMissingKeyRefuse }

// completed are rules of a test with the documented defaults.
func completed(rules []config.Rule) []config.Rule {
	rules, _ = config.CompleteRules(rules)
	return rules
}

// compile compiles rules of a test.
func compile(rules []config.Rule, targets []policies.Target, prev *policies.Snapshot, o policies.Options) (*policies.Snapshot, error) {
	return policies.Compile(completed(rules), targets, prev, o)
}

// chain compiles one set of rules after the other, as edits do.
type chain struct {
	cpu      float64                // utilization, for rules that shed
	holds    []policies.BreakerHold // of the next edit
	t        *testing.T
	now      *policies.Snapshot
	revision int

	mu   sync.Mutex
	told []policies.Transition
}

// transitions returns the transitions of all breakers up to now.
func (c *chain) transitions() []policies.Transition {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.told)
}

func newChain(t *testing.T, rules ...config.Rule) *chain {
	c := &chain{t: t, cpu: 1}
	return c.edit(rules...)
}

func (c *chain) load() policies.Load {
	return policies.Load{Utilization: c.cpu, Cores: 2, Over: time.Second}
}

func (c *chain) edit(rules ...config.Rule) *chain {
	c.t.Helper()
	c.revision++
	next, err := compile(rules, targets, c.now, policies.Options{
		Host: "orders-7", Revision: c.revision, Holds: c.holds,
		CPU: c.load,
		OnTransition: func(t policies.Transition) {
			c.mu.Lock()
			c.told = append(c.told, t)
			c.mu.Unlock()
		},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	next.Activate()
	c.now = next
	return c
}

// enter is a call that goes on until its ticket is done.
func (c *chain) enter(t policies.Target, call policies.Call) (*policies.Ticket, error) {
	ticket := new(policies.Ticket)
	err := c.now.Guard(t).Enter(c.t.Context(), &call, ticket)
	return ticket, err
}

// call is one that ends at once with err.
func (c *chain) call(t policies.Target, call policies.Call, err error) error {
	ticket, refusal := c.enter(t, call)
	if refusal == nil {
		ticket.Done(err)
	}
	return refusal
}

// decisions returns the decisions of a rule's kind for all methods.
func (c *chain) decisions(rule string, kind config.Kind) policies.Decisions {
	for _, r := range c.now.Rules() {
		for _, k := range r.Kinds {
			if r.Name == rule && k.Kind == kind {
				return k.Decisions
			}
		}
	}
	c.t.Fatalf("no %s in rule %s", kind, rule)
	return policies.Decisions{}
}

// tokensLeft returns the tokens left to anonymous callers of Arith.Mul under a rate limit.
func tokensLeft(s *policies.Snapshot, rule string) (n int) {
	_, _ = fmt.Sscanf(s.State(rule, config.KindRateLimit, mul, ""), "%d of", &n)
	return n
}

// inFlight returns the calls that a concurrency limit counts.
func inFlight(s *policies.Snapshot, rule string) (running, queued int) {
	_, _ = fmt.Sscanf(s.State(rule, config.KindConcurrency, mul, ""), "%d of %d in flight, %d of", &running, new(int), &queued)
	return running, queued
}

func refusal(t *testing.T, err error) *code.Error {
	t.Helper()
	var e *code.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a refusal", err)
	}
	return e
}

func reasonOf(err error) string {
	var e *code.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func from(name string) policies.Call { return policies.Call{Caller: name} }

func at(addr string) policies.Call { return policies.Call{Peer: netip.MustParseAddr(addr)} }

func names(rules []policies.AppliedRule) string {
	var list []string
	for _, r := range rules {
		list = append(list, r.Rule)
	}
	return fmt.Sprint(list)
}

type pairs map[string]string

func (p pairs) Get(key string) string { return p[key] }

var errDown = code.Errorf(code.Unavailable, "db down")

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
