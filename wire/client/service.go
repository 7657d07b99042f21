package client

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/easymicro/easymicro/wire/code"
)

// service is a service that is looked up because it was called recently.
type service struct {
	c      *core
	name   string
	lower  string // name in lower case, for Options.LowerCase
	lookup *Subscription
	first  <-chan struct{} // lookup.first
	list   atomic.Pointer[list]
	gone   bool // under catalog.mu: dropped
	kept   bool // under catalog.mu: added by TakeOver
	usage
	longReplies longReplies
}

// list is an immutable list of the endpoints of a service.
type list struct {
	known   bool  // the resolver has returned a list
	err     error // of the last lookup, if it failed
	others  int   // number of endpoints in other groups
	members []*member
	bal     balancer
}

var errNoAnswer = errors.New("the resolver has not answered")

// resolved returns a list that is not empty. It waits for the first one.
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

// unknown returns the error of a call to a service without endpoints.
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
		return failed(code.Unavailable, code.ReasonOverloaded, "%s was dropped before the resolver answered: more than %d services are in use",
			s.name, maxServices)
	}
	return unreached("no endpoint of %s is known: nothing serves it, according to the resolver", s.name).
		InPublic(s.unknownInPublic())
}

func (s *service) unknownInPublic() string { return "no endpoint of " + s.name + " is known" }

// ServiceStatus is the state of a service.
type ServiceStatus struct {
	Service   string
	Err       string // of the last lookup, if it failed: the endpoints may be out of date
	Endpoints []EndpointStatus
}

// EndpointStatus is the state of an endpoint.
type EndpointStatus struct {
	Endpoint
	State    string // idle, connecting, ready, backoff or draining
	InFlight int
	Latency  time.Duration // smoothed; 0 if unknown or while calls fail
	Err      string        // reason for the lack of a connection
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
		if _, err := m.node.downReason(); err != nil {
			e.Err = err.Error()
		}
		all.Endpoints = append(all.Endpoints, e)
	}
	return all
}

// longReplies has the methods, in lower case, with replies that are long messages, and the time of the last one.
type longReplies struct {
	writing sync.Mutex
	last    atomic.Pointer[map[string]*atomic.Int64]
}

const maxLongReplies = 1000

// of reports whether a method had a long reply recently.
func (r *longReplies) of(c *core, method string) bool {
	all := r.last.Load()
	if all == nil {
		return false
	}
	var room [64]byte
	last := (*all)[string(appendLower(room[:0], method))]
	return last != nil && c.now()-last.Load() <= int64(recently)
}

// add records a long reply of a method.
func (r *longReplies) add(now int64, method string) {
	name := strings.ToLower(method)
	if all := r.last.Load(); all != nil && (*all)[name] != nil {
		(*all)[name].Store(now)
		return
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	next := map[string]*atomic.Int64{}
	if all := r.last.Load(); all != nil {
		maps.Copy(next, *all)
	}
	maps.DeleteFunc(next, func(_ string, last *atomic.Int64) bool { return now-last.Load() > int64(recently) })
	if len(next) < maxLongReplies {
		last := new(atomic.Int64)
		last.Store(now)
		next[strings.Clone(name)] = last
	}
	r.last.Store(&next)
}

// appendLower appends s in lower case.
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
