package host

import (
	"strings"
	"time"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// forwarding is a call of a method that another host serves. Its payload is not decoded in either direction.
type forwarding struct{ *serving }

// run sends the call to a host that serves it.
func (s forwarding) run(req, res *wire.Frame) error {
	out := *req
	out.Service, out.Method, out.Compression = s.method.Target.Service, s.method.Spelled(req.Method), wire.NoCompression
	if _, ok := out.Metadata.Lookup(wire.MetaAcceptCompression); ok {
		out.Metadata = forwardedMetadata(req.Metadata)
	}
	h := s.hand(req)
	ctx, cancel := s.context(req, h)
	defer cancel()
	hosts := &s.method.Remote().Successor
	if before := hosts.EnterBefore(); before != nil {
		defer before.Release()
		hosts = before
	}
	err := hosts.Client.Handle(registry.WithCall(ctx, &h.Call), &out, res)
	if err == nil {
		s.done(nil)
		s.method.Learn()
		return nil
	}
	return s.error(res, err)
}

// error returns what the caller sees of an error. Refusals by the other host keep their rule and host, since that host was
// called.
func (s forwarding) error(res *wire.Frame, err error) error {
	e := code.From(err)
	answered := res.Status == wire.StatusError
	res.Status = wire.StatusNormal
	switch {
	case e.Own(): // by a client-side rule of this host, which has recorded it, or because the caller's deadline passed
		s.done(err)
		s.recordOutcome(e, e.Rule == "")
		return e
	case s.late(e):
		e = s.ticket.Late()
		if at, ok := s.ticket.Deadline(); ok && s.baseline != nil {
			s.baseline.expired(e, at)
		}
		s.done(err)
		s.recordOutcome(e, true)
		return e
	case answered && e.Host == "" && e.Code == code.Unimplemented && e.Reason == code.ReasonUnknownMethod: // a host of another kind
		s.done(err)
		return &code.Error{Code: e.Code, Reason: e.Reason, Message: e.Message, Host: s.recorder.name}
	case answered && e.Host == "":
		s.done(err)
		return e
	case answered:
		s.done(err)
		own := &code.Error{
			Code: e.Code, Reason: e.Reason, Message: e.Message, Rule: e.Rule, RetryAfter: e.RetryAfter, Host: e.Host,
		}
		return own.InPublic(e.Public())
	}
	what := strings.TrimPrefix(e.Message, e.Code.String()+": ")
	public := code.Refuse(e.Code, e.Reason, e.Detail(), "", s.recorder.name, 0).Message
	own := code.Refuse(e.Code, e.Reason, what, "", s.recorder.name, 0).InPublic(public)
	own.RetryAfter = e.RetryAfter // the text has it already
	s.done(err)
	s.recordOutcome(own, true)
	return own
}

// justBefore is how much earlier than this host another one may see the same deadline pass: it is sent in whole
// milliseconds.
const justBefore = 2 * time.Millisecond

// late reports whether an error is about the deadline of this host, even if the other host noticed it first.
func (s forwarding) late(e *code.Error) bool {
	at, ok := s.ticket.Deadline()
	return ok && e.Code == code.DeadlineExceeded && e.Reason == code.ReasonTimeout && e.Rule == "" && time.Until(at) < justBefore
}
