package client

import (
	"context"
	"errors"
	"strings"
	"time"

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
	refused int      // how many the rules have left out
	err     error    // of the last one that could not be used
}

// round says which nodes may be picked.
type round int

const (
	firstChoice round = iota // that are connected, or may well be in a moment
	lastChoice               // that may be connected soon
	nobody
)

// patience is how long a call waits for an endpoint's first connection while there are other endpoints.
const patience = 100 * time.Millisecond

func (s *slot) reset() {
	if s.req.Metadata != nil {
		s.meta = s.req.Metadata // which may have grown
	}
	clear(s.meta)
	s.req, s.meta = wire.Frame{}, s.meta[:0]
	s.res.Reset()
	clear(s.tried)
	s.tried, s.left = s.tried[:0], s.left[:0]
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
		err = s.send(ctx, m, link)
		if !s.movable(err) {
			return err
		}
		s.err = err
		s.leaveOut(m)
	}
}

// over begins to pick from l.
func (s *slot) over(l *list) {
	s.list, s.round = l, firstChoice
	s.left = append(s.left[:0], make([]uint64, (len(l.members)+63)/64)...)
	for _, m := range l.members {
		for _, n := range s.tried {
			if m.node == n {
				s.skip(m)
			}
		}
	}
}

// leaveOut leaves m out of this list and of those to come.
func (s *slot) leaveOut(m *member) {
	s.skip(m)
	s.tried = append(s.tried, m.node)
}

// skip leaves m out of this list.
func (s *slot) skip(m *member) { s.left[m.index/64] |= 1 << (m.index % 64) }

// allows makes a slot the filter of its balancer.
func (s *slot) allows(m *member) bool {
	if s.left[m.index/64]&(1<<(m.index%64)) != 0 {
		return false
	}
	switch state(m.node.state.Load()) {
	case ready:
		return true
	case idle, connecting:
		return s.round == lastChoice || !m.node.tardy.Load()
	case reconnecting:
		return s.round == lastChoice
	case backoff, draining:
	}
	return false
}

func (s *slot) now() int64 { return s.call.c.now() }

// next is an endpoint with a connection to send on.
func (s *slot) next(ctx context.Context) (*member, *link, error) {
	begin := time.Time{}
	for {
		m := s.list.bal.pick(s)
		if m == nil {
			s.round++
			if s.round < nobody {
				continue
			}
			if l := s.call.service.list.Load(); l != s.list && len(l.members) > 0 {
				s.over(l)
				continue
			}
			return nil, nil, s.noEndpoint()
		}
		if s.endpoints != nil && !s.endpoints.Admit(m.ep.Address) {
			s.refused++
			s.leaveOut(m)
			continue
		}
		if l := m.node.link(); l != nil {
			return m, l, nil
		}
		if begin.IsZero() {
			begin = time.Now()
		}
		l, err := s.await(ctx, m, begin)
		if err == nil {
			return m, l, nil
		}
		if err := s.unreachable(ctx, m, err); err != nil {
			return nil, nil, err
		}
	}
}

// await waits for the connection of m: not for long, as long as there is another choice.
func (s *slot) await(ctx context.Context, m *member, begin time.Time) (*link, error) {
	wait := s.call.c.o.ConnectTimeout - time.Since(begin)
	if s.round == firstChoice && len(s.list.members) > 1 {
		wait = min(wait, patience)
	}
	late := time.NewTimer(wait)
	defer late.Stop()
	return m.node.await(ctx, late.C)
}

// unreachable settles an endpoint that could not be reached. It returns an error when others need not be tried.
func (s *slot) unreachable(ctx context.Context, m *member, err error) error {
	s.answered = false
	switch {
	case errors.Is(err, ErrClosed):
		err = closedError()
	case ctx.Err() != nil:
		err = ended(ctx.Err(), "%s is not connected yet", s.where(m))
	case errors.Is(err, errTardy) && s.round == firstChoice:
		s.settle(m, failed(code.Cancelled, code.ReasonCancelled, "%s: %w", s.where(m), err)) // not its failure, as yet
		return nil
	case errors.Is(err, errUnlisted): // it may be back on the next list
		s.err = failed(code.Unavailable, code.ReasonNoEndpoint, "%s cannot be reached: %w", s.where(m), err)
		s.settle(m, failed(code.Cancelled, code.ReasonCancelled, "%s: %w", s.where(m), err)) // nor is this
		s.skip(m)
		return nil
	default:
		s.err = failed(code.Unavailable, code.ReasonNoEndpoint, "%s cannot be reached: %w", s.where(m), err)
		s.settle(m, s.err)
		s.leaveOut(m)
		return nil
	}
	s.settle(m, err)
	return err
}

func (s *slot) settle(m *member, err error) {
	if s.endpoints != nil {
		s.endpoints.Settle(m.ep.Address, err)
	}
}

// send sends the call to m.
func (s *slot) send(ctx context.Context, m *member, l *link) error {
	s.prepare()
	began := s.now()
	m.begin()
	err := l.Do(ctx, &s.req, &s.res)
	m.end(began, s.now(), err, !s.req.OneWay)
	l.give()
	s.answered = err == nil || s.res.Status != wire.StatusNormal
	if !s.answered {
		e := code.From(err)
		err = failed(e.Code, e.Reason, "%s: %w", s.where(m), err)
	}
	if tell := s.call.c.o.OnAttempt; tell != nil {
		tell(ctx, m.ep.Address, err)
	}
	s.settle(m, err)
	return err
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

func (s *slot) where(m *member) string {
	return s.call.req.Service + "." + s.call.req.Method + " at " + m.ep.Address
}
