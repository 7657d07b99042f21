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

// slot holds the state of one attempt at a time.
type slot struct {
	call      *call
	req       wire.Frame
	meta      wire.Metadata // backs req.Metadata
	res       wire.Frame
	answered  bool // by the last endpoint; a one-way call counts as answered once it is sent
	endpoints EndpointFilter

	list     *list
	phase    phase
	excluded []uint64 // bitmap of the members of list that may not be used
	tried    []*node  // nodes that may not be used on any list
	retried  []*node  // nodes that got a second try: their connection ended before they read the call
	refused  int      // endpoints refused by the rules
	err      error    // of the last endpoint that could not be used
}

func (s *slot) reset() {
	if s.req.Metadata != nil {
		s.meta = s.req.Metadata // it may have grown
	}
	clear(s.meta)
	s.req, s.meta = wire.Frame{}, s.meta[:0]
	s.res.Reset()
	clear(s.tried)
	clear(s.retried)
	s.tried, s.retried, s.excluded = s.tried[:0], s.retried[:0], s.excluded[:0]
	s.answered, s.endpoints, s.list, s.phase, s.refused, s.err = false, nil, nil, connectedOnly, 0, nil
}

// attempt sends the call to one endpoint after the other while it was provably not run.
func (s *slot) attempt(ctx context.Context, endpoints EndpointFilter) error {
	s.reset()
	s.endpoints = endpoints
	l, err := s.call.service.resolved(ctx)
	if err != nil {
		return err
	}
	s.start(l)
	for {
		m, link, err := s.next(ctx)
		if err != nil {
			return err
		}
		again, err := s.send(ctx, m, link)
		if !s.movable(err) {
			return err
		}
		s.err = err
		if !again {
			s.exclude(m)
		}
	}
}

// send sends the call to m. again reports whether m may be tried again.
func (s *slot) send(ctx context.Context, m *member, l *link) (again bool, err error) {
	s.prepare()
	if err := s.pack(l); err != nil {
		l.give()
		s.settle(m, failed(code.Cancelled, code.ReasonCancelled, "%w", err)) // not a failure of m
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
	if again = s.mayRetry(m, err); again {
		verdict = failed(code.Cancelled, code.ReasonCancelled, "%w", err) // not a failure of m
	}
	m.end(began, s.now(), verdict, !s.req.OneWay)
	s.settle(m, verdict)
	return again, err
}

// mayRetry reports whether to send the call to m once more, because the connection ended before m read it.
func (s *slot) mayRetry(m *member, err error) bool {
	if s.answered || !s.movable(err) || slices.Contains(s.retried, m.node) {
		return false
	}
	s.retried = append(s.retried, m.node)
	return true
}

// prepare sets the request of the attempt. It shares the payload with the call.
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

// movable reports whether the call may be sent to another endpoint at once: it was not sent, or a draining peer did not run
// it.
func (s *slot) movable(err error) bool {
	if err == nil {
		return false
	}
	reason := code.From(err).Reason
	return reason == code.ReasonDraining || reason == code.ReasonNoEndpoint && s.res.Status == wire.StatusNormal
}

func (s *slot) where(m *member) string { return s.what() + " at " + m.ep.Address }

func (s *slot) what() string { return s.call.req.Service + "." + s.call.req.Method }

// phase limits which nodes an attempt may choose.
type phase int

const (
	connectedOnly phase = iota // connected, or probably so in a moment
	connectable                // also those being reconnected, or whose first dial is slow
	exhausted
)

// firstLinkWait is how long a call waits for an endpoint's first connection if there are other endpoints.
const firstLinkWait = 100 * time.Millisecond

// start sets the list to choose from.
func (s *slot) start(l *list) {
	s.list, s.phase = l, connectedOnly
	s.excluded = append(s.excluded[:0], make([]uint64, (len(l.members)+63)/64)...)
	for _, m := range l.members {
		for _, n := range s.tried {
			if m.node == n {
				s.skip(m)
			}
		}
	}
}

// exclude excludes m on this list and on later ones.
func (s *slot) exclude(m *member) {
	s.skip(m)
	s.tried = append(s.tried, m.node)
}

// skip excludes m on this list.
func (s *slot) skip(m *member) { s.excluded[m.index/64] |= 1 << (m.index % 64) }

// allows implements filter.
func (s *slot) allows(m *member) bool {
	if s.excluded[m.index/64]&(1<<(m.index%64)) != 0 {
		return false
	}
	switch state(m.node.state.Load()) {
	case ready:
		return true
	case idle, connecting:
		return s.phase == connectable || !m.node.slowDial.Load()
	case reconnecting:
		return s.phase == connectable
	case backingOff, draining:
	}
	return false
}

// long reports whether the request is a long message, or the reply probably is.
func (s *slot) long() bool {
	return len(s.call.req.Payload) >= longMessage || s.call.service.longReplies.of(&s.call.c.core, s.call.req.Method)
}

func (s *slot) now() int64 { return s.call.c.now() }

// key implements filter.
func (s *slot) key() (uint64, bool) { return s.call.hash, s.call.hashed }

// next returns an endpoint and a link reserved for the call.
func (s *slot) next(ctx context.Context) (*member, *link, error) {
	begin := time.Time{}
	for {
		m := s.list.bal.pick(s)
		if m == nil {
			s.phase++
			if s.phase < exhausted {
				continue
			}
			if l := s.call.service.list.Load(); l != s.list && len(l.members) > 0 {
				s.start(l)
				continue
			}
			return nil, nil, s.noEndpoint()
		}
		if s.endpoints != nil && !s.endpoints.Admit(m.ep.Address) {
			s.refused++
			s.exclude(m)
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
			s.denied(m, err)
			continue
		}
		if err := s.unreachable(ctx, m, err); err != nil {
			return nil, nil, err
		}
	}
}

// await waits for a connection to m, only briefly if there are other endpoints.
func (s *slot) await(ctx context.Context, m *member, begin time.Time) (*link, error) {
	wait := s.call.c.o.ConnectTimeout - time.Since(begin)
	if s.phase == connectedOnly && len(s.list.members) > 1 {
		wait = min(wait, firstLinkWait)
	}
	late := time.NewTimer(wait)
	defer late.Stop()
	return m.node.await(ctx, s.long(), late.C)
}

// denied settles an endpoint whose Check refuses the connection. This is not a failure of m, which other services may
// call.
func (s *slot) denied(m *member, err error) {
	s.answered = false
	s.err = unreached("%s cannot be reached: %w", s.where(m), err).InPublic(s.what() + " cannot be reached")
	s.settle(m, failed(code.Cancelled, code.ReasonCancelled, "%s: %w", s.where(m), err))
	s.exclude(m)
}

// unreachable settles an endpoint without a connection. It returns an error if the attempt is over.
func (s *slot) unreachable(ctx context.Context, m *member, err error) error {
	s.answered = false
	switch {
	case errors.Is(err, ErrClosed):
		err = closedError()
	case ctx.Err() != nil:
		const late = "%s is not connected yet"
		err = unconnected(ctx.Err(), late, s.where(m)).InPublic(fmt.Sprintf(late, s.what()))
		s.settle(m, err)
		if s.connected() { // another endpoint could have answered
			return ended(ctx.Err(), late, s.where(m)).InPublic(fmt.Sprintf(late, s.what()))
		}
		return err
	case errors.Is(err, errSlowDial) && s.phase == connectedOnly:
		s.settle(m, failed(code.Cancelled, code.ReasonCancelled, "%s: %w", s.where(m), err)) // not a failure of m yet
		return nil
	case errors.Is(err, errUnlisted): // a newer list may have it
		s.err = unreached("%s cannot be reached: %w", s.where(m), err).InPublic(s.what() + " cannot be reached")
		s.settle(m, failed(code.Cancelled, code.ReasonCancelled, "%s: %w", s.where(m), err)) // not a failure of m
		s.skip(m)
		return nil
	default:
		s.err = unreached("%s cannot be reached: %w", s.where(m), err).InPublic(s.what() + " cannot be reached")
		s.settle(m, s.err)
		s.exclude(m)
		return nil
	}
	s.settle(m, err)
	return err
}

// connected reports whether any endpoint is connected.
func (s *slot) connected() bool {
	return slices.ContainsFunc(s.list.members, func(m *member) bool { return state(m.node.state.Load()) == ready })
}

func (s *slot) settle(m *member, err error) {
	if s.endpoints != nil {
		s.endpoints.Settle(m.ep.Address, err)
	}
}

// noEndpoint returns the error of an attempt without further endpoints.
func (s *slot) noEndpoint() error {
	if s.err != nil && code.From(s.err).Reason == code.ReasonDraining {
		return s.err
	}
	name := s.call.req.Service
	if s.refused >= len(s.list.members) {
		return failed(code.Unavailable, code.ReasonNoEndpoint, "no endpoint of %s may be used: the rules exclude all %d", name, len(s.list.members)).
			InPublic("no endpoint of " + name + " may be used")
	}
	var why error
	var soonest time.Duration
	for _, m := range s.list.members {
		in, err := m.node.downReason()
		if err != nil && (why == nil || in < soonest) {
			why, soonest = withAddress(m, err), in
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

// withAddress adds the address to err, unless its text has it already, as errors of package net do.
func withAddress(m *member, err error) error {
	if strings.Contains(err.Error(), m.ep.Address) {
		return err
	}
	return fmt.Errorf("%s: %w", m.ep.Address, err)
}

// into moves the response to res and keeps the memory of res for reuse. With withoutError it omits the metadata of the
// error, for callers that encode the error themselves. The status then shows that the peer answered.
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

// ofError reports whether a metadata key is part of an error.
func ofError(key string) bool {
	return key == wire.MetaError || key == wire.MetaErrorEasymicro || strings.HasPrefix(key, "x-em-")
}

// pack compresses the payload if the call's options require it. It uses zstd only for peers known to accept it: stock peers
// would close the connection.
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
