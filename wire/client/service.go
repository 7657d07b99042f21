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

// service is a service that was called: who serves it is watched until it has not been called for long.
type service struct {
	c       *Client
	name    string
	lower   string // the name as the original easymicro sends it
	stop    context.CancelFunc
	first   chan struct{} // closed when the resolver has said something
	listed  sync.Once
	listing Listing      // of the watch, for the guard; nil when there is none
	used    atomic.Int64 // when it was called last, see Client.now
	list    atomic.Pointer[list]
	gone    bool // under Client.mu: it is watched no longer

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

// service is the service of that name; the first call of it starts to watch it.
func (c *Client) service(name string) (*service, error) {
	c.mu.RLock()
	s := c.services[name]
	if s != nil {
		s.touch() // under the lock, so that it is not forgotten now
	}
	c.mu.RUnlock()
	if s == nil {
		return c.newService(name)
	}
	return s, nil
}

// touch writes rarely: all callers read the same line.
func (s *service) touch() {
	if now := s.c.now(); now-s.used.Load() > int64(time.Second) {
		s.used.Store(now)
	}
}

func (s *service) usedWithin(d time.Duration) bool { return s.c.now()-s.used.Load() <= int64(d) }

func (c *Client) newService(name string) (*service, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, closedError()
	}
	if s := c.services[name]; s != nil {
		s.touch()
		return s, nil
	}
	if len(c.services) >= maxServices && !c.evict() {
		return nil, failed(code.Unavailable, code.ReasonOverloaded,
			"%s cannot be looked up: %d services are in use already", name, maxServices)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &service{c: c, name: strings.Clone(name), lower: strings.ToLower(name), stop: cancel, first: make(chan struct{})}
	s.used.Store(c.now())
	s.list.Store(new(list))
	c.services[s.name] = s
	c.unknown[s] = struct{}{}
	c.over.Go(func() { s.watch(ctx) })
	if !c.sweeping {
		c.sweeping = true
		c.over.Go(c.sweepAll)
	}
	return s, nil
}

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
