package host

import (
	"strings"
	"time"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// passOn sends the call to a host that serves it, as it is: nothing of its payload is decoded on the way there or back.
func (s *serving) passOn(req, res *wire.Frame) error {
	out := *req
	out.Service, out.Method, out.Compression = s.method.target.Service, s.method.spelled(req.Method), wire.NoCompression
	if _, ok := out.Metadata.Lookup(wire.MetaAcceptCompression); ok {
		out.Metadata = passedMetadata(req.Metadata)
	}
	s.Service, s.Method = s.method.target.Service, s.method.target.Method
	ctx, cancel := s.context(req)
	defer cancel()
	err := s.method.remote.remote.link.client.Handle(registry.WithCall(ctx, &s.Call), &out, res)
	if err == nil {
		s.ticket.Done(nil)
		s.learn()
		return nil
	}
	return s.notPassed(res, err)
}

// passedMetadata is the caller's without what it says about its own connection.
func passedMetadata(m wire.Metadata) wire.Metadata {
	var passed wire.Metadata
	for _, pair := range m {
		if pair[0] != wire.MetaAcceptCompression {
			passed = append(passed, pair)
		}
	}
	return passed
}

// learn tells the service that the method is one of its own.
func (s *serving) learn() {
	if m := s.method; m.rpcx == m.remote.rpcx {
		m.remote.learn(m)
	}
}

// notPassed is what an error of a call to another host is for the caller. The other host's own refusals stay what they
// are, rule and host included: that host is the one that was called.
func (s *serving) notPassed(res *wire.Frame, err error) error {
	e := code.From(err)
	answered := res.Status == wire.StatusError
	res.Status = wire.StatusNormal
	switch {
	case e.Own(): // by a rule of this host's about the upstream, which has told of it, or because the caller's time is over
		s.ticket.Done(err)
		s.answered(e, e.Rule == "")
		return e
	case s.late(e):
		e = s.ticket.Late()
		s.ticket.Done(err)
		s.answered(e, true)
		return e
	case answered && e.Host == "" && e.Code == code.Unimplemented && e.Reason == code.ReasonUnknownMethod: // a host of another kind
		s.ticket.Done(err)
		return &code.Error{Code: e.Code, Reason: e.Reason, Message: e.Message, Host: s.host.name}
	case answered && e.Host == "":
		s.ticket.Done(err)
		return e
	case answered:
		s.ticket.Done(err)
		own := &code.Error{
			Code: e.Code, Reason: e.Reason, Message: e.Message, Rule: e.Rule, RetryAfter: e.RetryAfter, Host: e.Host,
		}
		return own.InPublic(e.Public())
	}
	what := strings.TrimPrefix(e.Message, e.Code.String()+": ")
	public := code.Refuse(e.Code, e.Reason, e.Detail(), "", s.host.name, 0).Message
	own := code.Refuse(e.Code, e.Reason, what, "", s.host.name, 0).InPublic(public)
	own.RetryAfter = e.RetryAfter // the client's words tell it already
	e = own
	s.ticket.Done(err)
	s.answered(e, true)
	return e
}

// justBefore is how much earlier than this host another one may take the same deadline for passed: it is told it in whole
// milliseconds.
const justBefore = 2 * time.Millisecond

// late tells that an error is that of this host's own deadline, be it that the other host has noticed it first.
func (s *serving) late(e *code.Error) bool {
	at, ok := s.ticket.Deadline()
	return ok && e.Code == code.DeadlineExceeded && e.Reason == code.ReasonTimeout && e.Rule == "" && time.Until(at) < justBefore
}
