package policytest

import (
	"context"
	"time"

	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wildcard"
)

// sending is a call to an upstream. Its attempts take the endpoints in turn.
type sending struct{ step *step }

var _ client.OutgoingCall = sending{}

func (s sending) Upstream() string      { return s.step.to.upstream.Name }
func (s sending) Service() string       { return s.step.to.Service }
func (s sending) Method() string        { return s.step.to.Method }
func (s sending) Caller() string        { return s.step.Caller }
func (s sending) Get(key string) string { return s.step.Metadata[key] }
func (s sending) Idempotent() bool {
	return wildcard.MatchAny(s.step.to.upstream.Idempotent, s.step.to.Method)
}

// result makes the call under the client-side rules.
func (s sending) result(ctx context.Context, rules *policies.Snapshot) result {
	if d := s.step.Deadline.Std(); d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	_, would, err := rules.ClientRules().DoWithin(ctx, s, time.Time{})
	return newResult(err, would...)
}

// Attempt implements client.OutgoingCall: the next endpoint that the rules admit does what the script says.
func (s sending) Attempt(ctx context.Context, _ int, filter client.EndpointFilter) error {
	all, first := s.step.to.endpoints, int(s.step.reached.Load())
	for i := range all {
		address := all[(first+i)%len(all)]
		if filter != nil && !filter.Admit(address) {
			continue
		}
		err := s.at(ctx, address)
		if filter != nil {
			filter.Settle(address, err)
		}
		return err
	}
	return code.Unreached(code.Errorf(code.Unavailable, "the rules exclude all endpoints").WithReason(code.ReasonNoEndpoint))
}

// at returns the answer of an endpoint.
func (s sending) at(ctx context.Context, address string) error {
	script := s.step.next(address)
	select {
	case <-time.After(script.Delay.Std()):
	case <-ctx.Done():
		return ctx.Err()
	}
	if script.Error != "" {
		return code.Remote(script.failure())
	}
	return nil
}

// Redial implements client.OutgoingCall: all endpoints are connected.
func (sending) Redial(int, func(address string) bool) bool { return false }
