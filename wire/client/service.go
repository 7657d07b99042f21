package client

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/easymicro/easymicro/wire/code"
)

// service is a service that was called: who serves it is watched until it has not been called for long.
type service struct {
	c      *Client
	name   string
	lower  string // the name as the original easymicro sends it
	lookup *Subscription
	first  <-chan struct{} // that of lookup
	used   atomic.Int64    // when it was called last, see Client.now
	list   atomic.Pointer[list]
	gone   bool // under Client.mu: it is watched no longer
	kept   bool // under Client.mu: a client before this one has called it

	lengthyOnes sync.Mutex                               // of those who change the map below
	lengthy     atomic.Pointer[map[string]*atomic.Int64] // methods whose replies are long messages, in lower case: when there was the last one
}

const mostLengthy = 1000

// repliesAtLength reports whether a method has answered with long messages of late.
func (s *service) repliesAtLength(method string) bool {
	all := s.lengthy.Load()
	if all == nil {
		return false
	}
	var room [64]byte
	last := (*all)[string(appendLower(room[:0], method))]
	return last != nil && s.c.now()-last.Load() <= int64(inUse)
}

// repliedAtLength notes that a method has answered with a long message.
func (s *service) repliedAtLength(method string) {
	name, now := strings.ToLower(method), s.c.now()
	if all := s.lengthy.Load(); all != nil && (*all)[name] != nil {
		(*all)[name].Store(now)
		return
	}
	s.lengthyOnes.Lock()
	defer s.lengthyOnes.Unlock()
	late := map[string]*atomic.Int64{}
	if all := s.lengthy.Load(); all != nil {
		maps.Copy(late, *all)
	}
	maps.DeleteFunc(late, func(_ string, last *atomic.Int64) bool { return now-last.Load() > int64(inUse) })
	if len(late) < mostLengthy {
		last := new(atomic.Int64)
		last.Store(now)
		late[strings.Clone(name)] = last
	}
	s.lengthy.Store(&late)
}

// appendLower appends s in lower case, as servers take it in any.
func appendLower(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= utf8.RuneSelf:
			return append(dst[:len(dst)-i], strings.ToLower(s)...)
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// list is who serves a service. It is swapped as a whole.
type list struct {
	known   bool  // there was a list at all
	err     error // why nothing newer is known
	others  int   // endpoints of other groups
	members []*member
	bal     balancer
}

// now is the time since the client was made: cheap to keep in an atomic.
func (c *Client) now() int64 { return int64(time.Since(c.began)) }

// touch writes rarely: all callers read the same line.
func (s *service) touch() {
	if now := s.c.now(); now-s.used.Load() > int64(time.Second) {
		s.used.Store(now)
	}
}

func (s *service) usedWithin(d time.Duration) bool { return s.c.now()-s.used.Load() <= int64(d) }

var errNoAnswer = errors.New("the resolver has not answered")

// resolved is who serves the service; the first callers wait for that.
func (s *service) resolved(ctx context.Context) (*list, error) {
	select {
	case <-s.first:
	default:
		if err := s.wait(ctx); err != nil {
			return nil, err
		}
	}
	l := s.list.Load()
	if len(l.members) == 0 {
		return nil, s.unknown(l)
	}
	return l, nil
}

func (s *service) wait(ctx context.Context) error {
	late := time.NewTimer(s.c.o.ConnectTimeout)
	defer late.Stop()
	select {
	case <-s.first:
		return nil
	case <-late.C:
		return unreached("no endpoint of %s is known: %w within %s",
			s.name, errNoAnswer, s.c.o.ConnectTimeout).InPublic(s.unknownInPublic())
	case <-ctx.Done():
		return unconnected(ctx.Err(), "no endpoint of %s is known yet", s.name)
	case <-s.c.done:
		return closedError()
	}
}

// unknown is the error of calls of a service that has no endpoint.
func (s *service) unknown(l *list) error {
	switch {
	case l.others > 0:
		return unreached("no endpoint of %s has the group %q (%d have another)",
			s.name, s.c.o.Group, l.others).InPublic(s.unknownInPublic())
	case l.err != nil:
		return unreached("no endpoint of %s is known: %w", s.name, l.err).InPublic(s.unknownInPublic())
	case !l.known && s.c.shut.Load():
		return closedError()
	case !l.known: // see evict
		return failed(code.Unavailable, code.ReasonOverloaded, "%s was given up before the resolver answered: more than %d services are called",
			s.name, maxServices)
	}
	return unreached("no endpoint of %s is known: nobody serves it, as far as the resolver knows", s.name).
		InPublic(s.unknownInPublic())
}

func (s *service) unknownInPublic() string { return "no endpoint of " + s.name + " is known" }

// update takes a list, or why there is none, from the pool.
func (s *service) update(endpoints []Endpoint, others int, err error) {
	old := s.list.Load()
	if err != nil {
		failed := *old
		failed.err = err
		s.list.Store(&failed)
		return
	}
	next := &list{known: true, others: others}
	byPlace := make(map[place]*member, len(old.members))
	for _, m := range old.members {
		byPlace[m.node.place] = m
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.gone || s.c.closed {
		return
	}
	seen := make(map[place]bool, len(endpoints))
	for _, e := range endpoints {
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

// ServiceStatus is what a client knows of a service.
type ServiceStatus struct {
	Service   string
	Err       string // why nothing newer is known
	Endpoints []EndpointStatus
}

// EndpointStatus is the state of an endpoint.
type EndpointStatus struct {
	Endpoint
	State    string // idle, connecting, ready, backoff or draining
	InFlight int
	Latency  time.Duration // smoothed; 0 when unknown, and while calls fail
	Err      string        // why it is not connected
}

// Status are the endpoints of the services that are called, by name.
func (c *Client) Status() []ServiceStatus {
	c.mu.RLock()
	services := make([]*service, 0, len(c.services))
	for _, s := range c.services {
		services = append(services, s)
	}
	c.mu.RUnlock()
	slices.SortFunc(services, func(a, b *service) int { return strings.Compare(a.name, b.name) })
	all := make([]ServiceStatus, len(services))
	for i, s := range services {
		all[i] = s.status()
	}
	return all
}

func (s *service) status() ServiceStatus {
	l := s.list.Load()
	all := ServiceStatus{Service: s.name}
	if l.err != nil {
		all.Err = l.err.Error()
	}
	for _, m := range l.members {
		e := EndpointStatus{
			Endpoint: m.ep, State: state(m.node.state.Load()).String(),
			InFlight: int(m.inFlight.Load()), Latency: m.shown(),
		}
		if _, err := m.node.absence(); err != nil {
			e.Err = err.Error()
		}
		all.Endpoints = append(all.Endpoints, e)
	}
	return all
}

// join says that s is at the nodes of list. It needs c.mu.
func (s *service) join(list []*member) {
	for _, m := range list {
		m.node.addUser(user{s, m.ep.Check})
	}
}

// depart says that s is no longer at the nodes of before, but at those of now. It needs c.mu.
func (s *service) depart(before, now []*member) {
	stays := make(map[*node]bool, len(now))
	for _, m := range now {
		stays[m.node] = true
	}
	for _, m := range before {
		if stays[m.node] {
			continue
		}
		m.node.removeUser(s)
		if m.node.settleUsers() {
			delete(s.c.nodes, m.node.place)
		}
	}
}
