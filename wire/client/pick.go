package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// round says which nodes may be picked.
type round int

const (
	firstChoice round = iota // that are connected, or may well be in a moment
	lastChoice               // that may be connected soon
	nobody
)

// patience is how long a call waits for an endpoint's first connection while there are other endpoints.
const patience = 100 * time.Millisecond

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

// long reports whether the call is a long message, or its answer probably is.
func (s *slot) long() bool {
	return len(s.call.req.Payload) >= longMessage || s.call.service.repliesAtLength(s.call.req.Method)
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
		l := m.node.link(s.long())
		var err error
		if l == nil {
			if begin.IsZero() {
				begin = time.Now()
			}
			l, err = s.await(ctx, m, begin)
		}
		if err == nil {
			if err = m.permits(l); err == nil {
				return m, l, nil
			}
			l.give()
			s.forbidden(m, err)
			continue
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
	return m.node.await(ctx, s.long(), late.C)
}

// forbidden settles an endpoint that the service may not call. It does not count as a failure: other services may call it.
func (s *slot) forbidden(m *member, err error) {
	s.answered = false
	s.err = unreached("%s cannot be reached: %w", s.where(m), err).InPublic(s.what() + " cannot be reached")
	s.settle(m, failed(code.Cancelled, code.ReasonCancelled, "%s: %w", s.where(m), err))
	s.leaveOut(m)
}

// unreachable settles an endpoint that could not be reached. It returns an error when others need not be tried.
func (s *slot) unreachable(ctx context.Context, m *member, err error) error {
	s.answered = false
	switch {
	case errors.Is(err, ErrClosed):
		err = closedError()
	case ctx.Err() != nil:
		const late = "%s is not connected yet"
		err = unconnected(ctx.Err(), late, s.where(m)).InPublic(fmt.Sprintf(late, s.what()))
		s.settle(m, err)
		if s.connected() { // to others, who would have answered
			return ended(ctx.Err(), late, s.where(m)).InPublic(fmt.Sprintf(late, s.what()))
		}
		return err
	case errors.Is(err, errTardy) && s.round == firstChoice:
		s.settle(m, failed(code.Cancelled, code.ReasonCancelled, "%s: %w", s.where(m), err)) // not its failure, as yet
		return nil
	case errors.Is(err, errUnlisted): // it may be back on the next list
		s.err = unreached("%s cannot be reached: %w", s.where(m), err).InPublic(s.what() + " cannot be reached")
		s.settle(m, failed(code.Cancelled, code.ReasonCancelled, "%s: %w", s.where(m), err)) // nor is this
		s.skip(m)
		return nil
	default:
		s.err = unreached("%s cannot be reached: %w", s.where(m), err).InPublic(s.what() + " cannot be reached")
		s.settle(m, s.err)
		s.leaveOut(m)
		return nil
	}
	s.settle(m, err)
	return err
}

// connected tells that there is somebody to send calls to.
func (s *slot) connected() bool {
	return slices.ContainsFunc(s.list.members, func(m *member) bool { return state(m.node.state.Load()) == ready })
}

func (s *slot) settle(m *member, err error) {
	if s.endpoints != nil {
		s.endpoints.Settle(m.ep.Address, err)
	}
}
