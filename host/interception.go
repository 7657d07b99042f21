package host

import (
	"context"
	"errors"
	"reflect"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// interception is a call of a method with interceptors.
type interception struct{ *serving }

// errNextTwice is the error of a second call of next.
var errNextTwice = errors.New("next was called twice: only interceptors of calls that go out may repeat a call")

// run runs the rules and the handler within the interceptors that come before the rules.
func (s interception) run(req, res *wire.Frame) error {
	if err := s.identify(req); err != nil {
		s.recordOutcome(err, true)
		return err
	}
	h := s.hand(req)
	ctx, cancel := s.context(req, h)
	defer cancel()
	s.inside = invocation(h)
	var within error // the outcome of the rules and the handler
	ran, refused := false, false
	err := s.method.Around.BeforeRules(registry.WithCall(ctx, &h.Call), s.inside, func(ctx context.Context) error {
		if ran {
			return errNextTwice
		}
		ran = true
		if within = s.enter(req); within != nil {
			refused = true
			return within
		}
		h.RuleDeadline = s.ticket.RuleDeadline()
		within = s.handle(ctx, h, req, res)
		return within
	})
	res.Metadata = append(res.Metadata[:0], h.Reply...)
	switch {
	case err == nil && ran:
		err = within // a refusal cannot be taken back
	case err == nil:
		err = errors.New("an interceptor that runs before the rules has neither called next nor failed")
		fallthrough
	case within == nil || code.From(err) != code.From(within):
		err, refused, res.Payload, s.reply = s.visible(err), false, res.Payload[:0], nil
	default:
		err = within
	}
	s.admitted = s.admitted || !refused // by the rules, at least
	s.recordOutcome(err, refused)
	return err
}

// visible returns what the caller sees of an error of an interceptor.
func (s interception) visible(err error) error {
	if p, ok := errors.AsType[*registry.PanicError](err); ok {
		return s.panicError(p)
	}
	e := code.Edge(err)
	s.logHidden(e)
	return e
}

// call runs the handler within the interceptors that come after the rules.
func (s interception) call(ctx context.Context, h *served, args any) (reply any, err error) {
	if s.inside == nil {
		s.inside = invocation(h)
	}
	m, inside := s.method, s.inside
	inside.Args, inside.Reply = args, m.Invoke.NewReply()
	ran := false
	err = m.Around.AfterRules(ctx, inside, func(ctx context.Context) error {
		if ran {
			return errNextTwice
		}
		ran = true
		reply, err := m.Call(ctx, inside.Args, inside.Reply)
		if reply != nil {
			inside.Reply = reply
		}
		return err
	})
	if t := reflect.TypeOf(inside.Reply); t == nil || t.Kind() != reflect.Pointer || t.Elem() != m.Invoke.Reply {
		return nil, errors.Join(err, code.Errorf(code.Internal, "an interceptor has replaced the reply by a %v", t).WithReason(code.ReasonBadReply))
	}
	return inside.Reply, err
}

// invocation returns what interceptors get of the call.
func invocation(h *served) *registry.Invocation {
	return &registry.Invocation{
		Service: h.Service, Method: h.Method, Caller: h.Caller, Metadata: h.Metadata, ReplyMetadata: &h.Reply,
	}
}
