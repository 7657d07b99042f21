package client

import (
	"context"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// slot is what one attempt at a time works with.
type slot struct {
	call      *call
	req       wire.Frame
	meta      wire.Metadata // memory of req
	res       wire.Frame
	answered  bool // by the last endpoint that was called; one-way calls count as answered when they are sent
	endpoints Endpoints

	list    *list
	round   round
	left    []uint64 // bits of the members that are left out
	tried   []*node  // the same, for when the list changes
	spared  []*node  // whose connection ended before the call was read: they get one more try
	refused int      // how many the rules have left out
	err     error    // of the last one that could not be used
}

func (s *slot) reset() {
	if s.req.Metadata != nil {
		s.meta = s.req.Metadata // which may have grown
	}
	clear(s.meta)
	s.req, s.meta = wire.Frame{}, s.meta[:0]
	s.res.Reset()
	clear(s.tried)
	clear(s.spared)
	s.tried, s.spared, s.left = s.tried[:0], s.spared[:0], s.left[:0]
	s.answered, s.endpoints, s.list, s.round, s.refused, s.err = false, nil, nil, firstChoice, 0, nil
}

// attempt sends the call to an endpoint. It goes on to others for as long as it provably was not run.
func (s *slot) attempt(ctx context.Context, endpoints Endpoints) error {
	s.reset()
	s.endpoints = endpoints
	l, err := s.call.service.resolved(ctx)
	if err != nil {
		return err
	}
	s.over(l)
	for {
		m, link, err := s.next(ctx)
		if err != nil {
			return err
		}
		spared, err := s.send(ctx, m, link)
		if !s.movable(err) {
			return err
		}
		s.err = err
		if !spared {
			s.leaveOut(m)
		}
	}
}

// send sends the call to m. It may be sent there again when m is spared.
func (s *slot) send(ctx context.Context, m *member, l *link) (spared bool, err error) {
	s.prepare()
	if err := s.pack(l); err != nil {
		l.give()
		s.settle(m, failed(code.Cancelled, code.ReasonCancelled, "%w", err)) // not its failure
		return false, err
	}
	began := s.now()
	m.begin()
	err = l.Do(ctx, &s.req, &s.res)
	l.give()
	if len(s.res.Payload) >= longMessage {
		s.call.service.repliedAtLength(s.call.req.Method)
	}
	s.answered = err == nil || s.res.Status != wire.StatusNormal
	if !s.answered {
		e := code.From(err)
		err = failed(e.Code, e.Reason, "%s: %w", s.where(m), err).InPublicOf(s.what()+": ", e)
	}
	if tell := s.call.c.o.OnAttempt; tell != nil {
		tell(ctx, m.ep.Address, err)
	}
	verdict := err
	if spared = s.spare(m, err); spared {
		verdict = failed(code.Cancelled, code.ReasonCancelled, "%w", err) // not its failure
	}
	m.end(began, s.now(), verdict, !s.req.OneWay)
	s.settle(m, verdict)
	return spared, err
}

// spare reports whether m gets the call once more: that its connection ended before it had read it is no failure of m.
func (s *slot) spare(m *member, err error) bool {
	if s.answered || !s.movable(err) || slices.Contains(s.spared, m.node) {
		return false
	}
	s.spared = append(s.spared, m.node)
	return true
}

// prepare makes the request of this attempt. Its payload is that of the call, which nobody changes.
func (s *slot) prepare() {
	from := s.call.req
	s.meta = append(s.meta[:0], from.Metadata...)
	s.req = *from
	s.req.Metadata = s.meta
	if s.call.c.o.LowerCase {
		s.req.Service, s.req.Method = s.call.service.lower, strings.ToLower(from.Method)
	}
	s.res.Status = wire.StatusNormal
}

// movable tells whether another endpoint is tried at once: nothing was sent, or the peer drains and has not run it.
func (s *slot) movable(err error) bool {
	if err == nil {
		return false
	}
	reason := code.From(err).Reason
	return reason == code.ReasonDraining || reason == code.ReasonNoEndpoint && s.res.Status == wire.StatusNormal
}

func (s *slot) where(m *member) string { return s.what() + " at " + m.ep.Address }

func (s *slot) what() string { return s.call.req.Service + "." + s.call.req.Method }
