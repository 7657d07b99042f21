package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// A Watch that returns is called again, at first after rewatchFirst.
const (
	rewatchFirst = 500 * time.Millisecond
	rewatchCap   = 5 * time.Second
)

var errWatchEnded = errors.New("the resolver has stopped to watch")

// watch follows who serves the service until ctx ends.
func (s *service) watch(ctx context.Context) {
	defer s.said()
	if s.c.o.Guard != nil {
		s.listing = s.c.o.Guard.List(s.c.upstream(s.name), s.name)
		defer s.listing.Close()
	}
	for pause := rewatchFirst; ; pause = min(2*pause, rewatchCap) {
		begin := time.Now()
		err := s.c.o.Resolver.Watch(ctx, s.name, s.update)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errWatchEnded
		}
		s.update(nil, err)
		s.c.log.Warn("the endpoints of a service are watched no longer; trying again", "service", s.name, "error", err)
		if time.Since(begin) > rewatchCap {
			pause = rewatchFirst
		}
		select {
		case <-time.After(jittered(pause)):
		case <-ctx.Done():
			return
		}
	}
}

func (s *service) said() { s.listed.Do(func() { close(s.first) }) }

// update takes a list, or why there is none, from the resolver.
func (s *service) update(endpoints []Endpoint, err error) {
	old := s.list.Load()
	if err != nil {
		failed := *old
		failed.err = err
		s.list.Store(&failed)
		s.said()
		return
	}
	next := &list{known: true}
	byPlace := make(map[place]*member, len(old.members))
	for _, m := range old.members {
		byPlace[m.node.place] = m
	}
	s.c.mu.Lock()
	if s.gone || s.c.closed {
		s.c.mu.Unlock()
		return
	}
	seen := make(map[place]bool, len(endpoints))
	for _, e := range endpoints {
		if s.c.o.Group != "" && e.Metadata[metaGroup] != s.c.o.Group {
			next.others++
			continue
		}
		if at := e.place(); !seen[at] {
			seen[at] = true
			next.members = append(next.members, s.c.member(e, byPlace[at], len(next.members)))
		}
	}
	next.bal = newBalancer(s.c.o.Policy, next.members, old.bal)
	s.join(next.members)
	s.list.Store(next) // who finds that an endpoint has left sees the list without it
	s.depart(old.members, next.members)
	if old.known { // the first list is no news of who was listed for others
		for _, m := range next.members {
			m.node.hurry()
		}
	}
	if len(next.members) > 0 {
		delete(s.c.unknown, s)
	} else {
		s.c.unknown[s] = struct{}{}
	}
	s.c.mu.Unlock()
	s.tellGuard(next)
	s.said()
}

func (s *service) tellGuard(l *list) {
	if s.listing == nil {
		return
	}
	addresses := make([]string, len(l.members))
	for i, m := range l.members {
		addresses[i] = m.ep.Address
	}
	s.listing.Set(addresses)
}

// upstream is how rules name what is called.
func (c *Client) upstream(service string) string {
	if c.o.Upstream != "" {
		return c.o.Upstream
	}
	return service
}

// jittered is d, 20 % more or less: clients that lost the same thing at the same time do not come back as one.
func jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}
