package policies

import (
	"context"
	"net/netip"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
)

const (
	tasteFor  = 50 * time.Millisecond // for all rules; the rest is not tried
	tasteWait = time.Millisecond      // for the calls of one rule
)

// Taste tries the rules that were edited, on state of their own: each is asked about calls that it allows, refuses and ends, and
// that succeed and fail. If a rule panics, the error is a *config.InternalError.
func Taste(rules []config.Rule, edited func(rule string) bool, o Options) error {
	until := time.Now().Add(tasteFor)
	for i := range rules {
		r := &rules[i]
		if !edited(r.Name) {
			continue
		}
		if time.Now().After(until) {
			return nil
		}
		if err := config.Contain(func() string { return config.InRule(r) }, func() error { return taste(r, tasting(&o)) }); err != nil {
			return err
		}
	}
	return nil
}

// tasting returns the options for a rule that is tried.
func tasting(o *Options) (tried Options) {
	if o.Fault != nil {
		tried.Fault = func(rule string, kind config.Kind, at limit.Moment) {
			if at != limit.AtCompile {
				o.Fault(rule, kind, limit.AtTaste)
			}
		}
	}
	return tried
}

// taste tries one rule, enforced for all calls, as it is and with limits that a second call exceeds.
func taste(r *config.Rule, o Options) error {
	for _, tried := range []*config.Rule{config.ForAll(r), config.Tight(config.ForAll(r))} {
		s, err := Compile([]config.Rule{*tried}, []Target{tasted}, nil, o)
		if err != nil {
			return err
		}
		s.Activate()
		if r.ClientSide() {
			tasteClientSide(s)
		} else {
			tasteIncoming(s, r)
		}
		s.Rules()
		s.Explain(tasted, "", netip.Addr{})
		for _, kind := range tried.Kinds() {
			if p := s.rules[0].health[kind].Panic(); p != nil {
				return &config.InternalError{Where: config.InRule(r), Value: code.PanicText(p.Value), Stack: string(p.Stack)}
			}
		}
	}
	return nil
}

var tasted = Target{Service: "Service", Method: "Method"}

// tasteIncoming makes calls with each outcome.
func tasteIncoming(s *Snapshot, r *config.Rule) {
	g, now := s.Guard(tasted), time.Now()
	failure := code.Errorf(code.Unavailable, "a failure")
	ctx, cancel := context.WithTimeout(context.Background(), tasteWait)
	defer cancel()
	var held [2]Ticket // calls in flight, the second of which a limit refuses
	claims := make(map[string]string, len(r.Match.Identity))
	for name, patterns := range r.Match.Identity {
		claims[name] = patterns[0]
	}
	for i := range held {
		_ = g.Enter(ctx, &Call{Claims: claims, Arrived: now}, &held[i])
	}
	for i := range held {
		held[i].Done(nil)
	}
	for _, caller := range append([]string{Anonymous}, config.AccessCallers(r)...) {
		var failed, late, expired Ticket
		if g.Enter(ctx, &Call{Caller: caller, Claims: claims, Peer: netip.IPv6Loopback(), Metadata: tastedMetadata{}, Arrived: now}, &failed) == nil {
			failed.Done(failure)
		}
		if g.Enter(ctx, &Call{Caller: caller, Claims: claims, Arrived: now, Deadline: now.Add(time.Hour)}, &late) == nil {
			_ = late.Late()
			late.Done(failure)
		}
		_ = g.Enter(ctx, &Call{Caller: caller, Claims: claims, Arrived: now, Deadline: now.Add(-time.Second)}, &expired)
		expired.Done(nil)
	}
}

// tastedMetadata has a value for each name.
type tastedMetadata struct{}

func (tastedMetadata) Get(string) string { return "value" }

// tasteClientSide makes calls to an upstream that succeed and fail.
func tasteClientSide(s *Snapshot) {
	for _, err := range []error{nil, code.Errorf(code.Unavailable, "a failure"), context.DeadlineExceeded} {
		ctx, cancel := context.WithTimeout(context.Background(), tasteWait)
		for range 2 {
			_, _, _ = s.ClientRules().DoWithin(ctx, tastedCall{err: err}, time.Time{})
		}
		cancel()
	}
}

// tastedCall is a call to an upstream that ends at once.
type tastedCall struct {
	tastedMetadata
	err error
}

var _ client.OutgoingCall = tastedCall{}

func (tastedCall) Upstream() string { return "upstream" }
func (tastedCall) Service() string  { return tasted.Service }
func (tastedCall) Method() string   { return tasted.Method }
func (tastedCall) Caller() string   { return "" }
func (tastedCall) Idempotent() bool { return true }

// Attempt implements client.OutgoingCall.
func (c tastedCall) Attempt(_ context.Context, _ int, endpoints client.EndpointFilter) error {
	const address = "127.0.0.1:1"
	if endpoints != nil && endpoints.Admit(address) {
		endpoints.Settle(address, c.err)
	}
	return c.err
}

// Redial implements client.OutgoingCall.
func (tastedCall) Redial(int, func(address string) bool) bool { return false }
