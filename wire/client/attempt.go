package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	endpoints EndpointFilter

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
func (s *slot) attempt(ctx context.Context, endpoints EndpointFilter) error {
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
		s.call.service.longReplies.add(s.now(), s.call.req.Method)
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
		return s.round == lastChoice || !m.node.slowDial.Load()
	case reconnecting:
		return s.round == lastChoice
	case backingOff, draining:
	}
	return false
}

// long reports whether the call is a long message, or its answer probably is.
func (s *slot) long() bool {
	return len(s.call.req.Payload) >= longMessage || s.call.service.longReplies.of(&s.call.c.core, s.call.req.Method)
}

func (s *slot) now() int64 { return s.call.c.now() }

// key makes a slot the filter of consistentHash.
func (s *slot) key() (uint64, bool) { return s.call.hash, s.call.hashed }

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
	case errors.Is(err, errSlowDial) && s.round == firstChoice:
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

// noEndpoint is the error of an attempt for which no endpoint is left.
func (s *slot) noEndpoint() error {
	if s.err != nil && code.From(s.err).Reason == code.ReasonDraining {
		return s.err
	}
	name := s.call.req.Service
	if s.refused >= len(s.list.members) {
		return failed(code.Unavailable, code.ReasonNoEndpoint, "no endpoint of %s may be used: the rules leave out all %d", name, len(s.list.members)).
			InPublic("no endpoint of " + name + " may be used")
	}
	var why error
	var soonest time.Duration
	for _, m := range s.list.members {
		in, err := m.node.absence()
		if err != nil && (why == nil || in < soonest) {
			why, soonest = of(m, err), in
		}
	}
	var e *code.Error
	switch {
	case why != nil && soonest > 0:
		e = unreached("no endpoint of %s can be reached (of %d): %w; next attempt in %s",
			name, len(s.list.members), why, soonest.Round(time.Millisecond))
		e.RetryAfter = soonest
	case why != nil:
		e = unreached("no endpoint of %s can be reached (of %d): %w", name, len(s.list.members), why)
	case s.err != nil:
		e = unreached("no endpoint of %s can be reached: %w", name, s.err)
	default:
		e = unreached("no endpoint of %s can be reached (of %d)", name, len(s.list.members))
	}
	return e.InPublic("no endpoint of " + name + " can be reached")
}

// of says of which endpoint err is, unless it says so itself, as those of package net do.
func of(m *member, err error) error {
	if strings.Contains(err.Error(), m.ep.Address) {
		return err
	}
	return fmt.Errorf("%s: %w", m.ep.Address, err)
}

// into gives the response away; what res had of memory is used again. Of an error only what a handler has added is
// given to those who make a response of their own of it, and the status, which tells that the peer has answered.
func (s *slot) into(res *wire.Frame, withoutError bool) {
	res.Status, res.Codec = s.res.Status, s.res.Codec
	res.Payload, s.res.Payload = s.res.Payload, res.Payload
	if len(res.Metadata) == 0 && !withoutError {
		res.Metadata, s.res.Metadata = s.res.Metadata, res.Metadata
		return
	}
	for _, pair := range s.res.Metadata {
		if !withoutError || !ofError(pair[0]) {
			res.Metadata.Set(pair[0], pair[1])
		}
	}
}

// ofError tells whether a key of metadata is a part of an error.
func ofError(key string) bool {
	return key == wire.MetaError || key == wire.MetaErrorEasymicro || strings.HasPrefix(key, "x-em-")
}

// pack compresses the payload of an attempt as the call wants it, with what the peer is known to take: stock peers end
// the connection on zstd.
func (s *slot) pack(l *link) error {
	cl := s.call
	with := cl.compression
	if !cl.packs || with == wire.NoCompression || s.req.Compression != wire.NoCompression || len(s.req.Payload) < cl.c.o.CompressAbove {
		return nil
	}
	if with == wire.Zstd && !l.Takes(with) {
		with = wire.Gzip
	}
	var err error
	if s.req.Payload, s.req.Compression, err = cl.packed.as(with, s.req.Payload); err != nil {
		return failed(code.Of(err), code.From(err).Reason, "the argument of %s: %w", s.what(), err)
	}
	return nil
}
