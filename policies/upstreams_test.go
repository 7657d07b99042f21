package policies_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
)

// outCall is a call as the client hands it to its guard.
type outCall struct {
	upstream, service, method, caller string
	metadata                          pairs
	idempotent                        bool
	attempt                           func(ctx context.Context, slot int, endpoints client.EndpointFilter) error
	redialled                         int
}

func (c *outCall) Upstream() string      { return c.upstream }
func (c *outCall) Service() string       { return c.service }
func (c *outCall) Method() string        { return c.method }
func (c *outCall) Caller() string        { return c.caller }
func (c *outCall) Get(key string) string { return c.metadata[key] }
func (c *outCall) Idempotent() bool      { return c.idempotent }

func (c *outCall) Attempt(ctx context.Context, slot int, endpoints client.EndpointFilter) error {
	return c.attempt(ctx, slot, endpoints)
}

// Redial dials all endpoints of billing, as a client in backoff does.
func (c *outCall) Redial(_ int, who func(string) bool) bool {
	if who != nil && !slices.ContainsFunc([]string{"a:1", "b:1", "c:1"}, who) {
		return false
	}
	c.redialled++
	return true
}

// lookup is a subscription whose resolver says what a test wants.
type lookup struct {
	*client.Subscription
	resolver updates
}

// updates is a Resolver whose lists a test sends.
type updates chan func([]client.Endpoint, error)

func (r updates) Watch(ctx context.Context, _ string, update func([]client.Endpoint, error)) error {
	r <- update
	<-ctx.Done()
	return ctx.Err()
}

func lookUp(p *client.Pool, upstream, service string) lookup {
	r := make(updates, 1)
	return lookup{p.Subscribe(client.Lookup{Resolver: r, Upstream: upstream, Service: service}), r}
}

func (l lookup) set(addresses ...string) {
	list := make([]client.Endpoint, len(addresses))
	for i, a := range addresses {
		list[i].Address = a
	}
	update := <-l.resolver
	update(list, nil)
	l.resolver <- update
}

// announcer is a client whose endpoints a test sets.
type announcer struct {
	guard   *policies.ClientRules
	mu      sync.Mutex
	lookups map[[2]string]lookup
}

func newAnnouncer(t testing.TB, guard *policies.ClientRules) *announcer {
	c := &announcer{guard: guard, lookups: make(map[[2]string]lookup)}
	t.Cleanup(func() {
		for _, l := range c.lookups {
			l.Close()
		}
	})
	return c
}

// announce sets the endpoints of a service. With nil, it is not looked up any more.
func (c *announcer) announce(upstream, service string, addresses []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := [2]string{upstream, service}
	l, ok := c.lookups[key]
	switch {
	case !ok && addresses == nil:
		return
	case !ok:
		l = lookUp(c.guard.Pool(), upstream, service)
		c.lookups[key] = l
	case addresses == nil:
		l.Close()
		delete(c.lookups, key)
		return
	}
	l.set(addresses...)
}

// billing is a client of an upstream with endpoints that answer as a test wants. It takes them in order, and moves on
// from one that cannot be reached, as the real client does.
type billing struct {
	t *testing.T
	*announcer
	answer func(ctx context.Context, address string, n int) error // of the nth attempt, from 1

	mu        sync.Mutex
	addresses []string
	sent      []string // where attempts went
	at        []time.Time
	told      []policies.Transition
}

var (
	errDial = code.Refuse(code.Unavailable, code.ReasonNoEndpoint, "no endpoint of Billing can be reached", "", "", 0)
	errLost = code.Refuse(code.Unavailable, code.ReasonConnectionLost, "connection lost", "", "", 0)
	errBusy = code.Remote(code.Refuse(code.Unavailable, code.ReasonOverloaded, "full", "far@r7", "far", 0))
)

func newBilling(t *testing.T, rules ...config.Rule) *billing {
	t.Helper()
	guard, err := policies.ClientGuard(rules)
	if err != nil {
		t.Fatal(err)
	}
	b := &billing{t: t, announcer: newAnnouncer(t, guard), answer: func(context.Context, string, int) error { return nil }}
	guard.OnTransition(func(t policies.Transition) {
		b.mu.Lock()
		b.told = append(b.told, t)
		b.mu.Unlock()
	})
	b.serve("a:1", "b:1", "c:1")
	return b
}

func (b *billing) serve(addresses ...string) {
	b.mu.Lock()
	b.addresses = addresses
	b.mu.Unlock()
	b.announce("billing", "Billing", addresses)
}

func (b *billing) attempt(ctx context.Context, _ int, endpoints client.EndpointFilter) error {
	b.mu.Lock()
	addresses := slices.Clone(b.addresses)
	b.mu.Unlock()
	for _, address := range addresses {
		if endpoints != nil && !endpoints.Admit(address) {
			continue
		}
		b.mu.Lock()
		b.sent = append(b.sent, address)
		b.at = append(b.at, time.Now())
		n := len(b.sent)
		b.mu.Unlock()
		err := b.answer(ctx, address, n)
		if endpoints != nil {
			endpoints.Settle(address, err)
		}
		if err != errDial { //nolint:errorlint // the test's own
			return err
		}
	}
	return errDial
}

// call calls Billing/Get with the changes of set.
func (b *billing) call(ctx context.Context, set ...func(*outCall)) error {
	b.t.Helper()
	_, err := b.do(ctx, set...)
	return err
}

func (b *billing) do(ctx context.Context, set ...func(*outCall)) (int, error) {
	call := &outCall{upstream: "billing", service: "Billing", method: "Get", caller: "web", attempt: b.attempt}
	for _, f := range set {
		f(call)
	}
	return b.guard.Do(ctx, call)
}

func idempotent(c *outCall) { c.idempotent = true }

func callOf(method string) func(*outCall) { return func(c *outCall) { c.method = method } }

func callerIs(name string) func(*outCall) { return func(c *outCall) { c.caller = name } }

// went are the endpoints where attempts went since the last time.
func (b *billing) went() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := fmt.Sprint(b.sent)
	b.sent, b.at = nil, nil
	return s
}

func (b *billing) transitions() []policies.Transition {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.told)
}

func (b *billing) decisions(rule string, kind config.Kind) policies.Decisions {
	b.t.Helper()
	for _, r := range b.guard.Snapshot().Rules() {
		for _, k := range r.Kinds {
			if r.Name == rule && k.Kind == kind {
				return k.Decisions
			}
		}
	}
	b.t.Fatalf("no %s in rule %s", kind, rule)
	return policies.Decisions{}
}

// toBilling is a rule for calls to the upstream billing.
func toBilling(name string, set ...func(*config.Rule)) config.Rule {
	r := config.Rule{Name: name, Match: config.Match{Upstream: config.Patterns{"billing"}}}
	for _, f := range set {
		f(&r)
	}
	return r
}

func to(upstreams ...string) func(*config.Rule) {
	return func(r *config.Rule) { r.Match.Upstream = upstreams }
}

func service(s ...string) func(*config.Rule) { return func(r *config.Rule) { r.Match.Service = s } }

func retry(c config.Retry) func(*config.Rule) { return func(r *config.Rule) { r.Retry = &c } }

func hedge(delay time.Duration, methods ...string) func(*config.Rule) {
	return func(r *config.Rule) {
		r.Hedge = &config.Hedge{Delay: config.Duration(delay), Methods: methods}
	}
}

func outlying(c config.OutlierDetection) func(*config.Rule) {
	return func(r *config.Rule) { r.OutlierDetection = &c }
}

// quick is a retry without pauses worth mentioning.
func quick(attempts int) config.Retry {
	return config.Retry{
		MaxAttempts: attempts, InitialBackoff: config.Duration(time.Millisecond), MaxBackoff: config.Duration(time.Millisecond),
	}
}

func always(err error) func(context.Context, string, int) error {
	return func(context.Context, string, int) error { return err }
}

func until(ctx context.Context) error {
	<-ctx.Done()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return code.Refuse(code.DeadlineExceeded, code.ReasonTimeout, "no answer in time", "", "", 0)
	}
	return code.Refuse(code.Cancelled, code.ReasonCancelled, "cancelled", "", "", 0)
}
