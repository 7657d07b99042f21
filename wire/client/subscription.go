package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// feed watches a service for all subscriptions with the same Resolver.
type feed struct {
	key    feedKey
	shared bool // it is in Pool.feeds; a Resolver that is not comparable needs a feed for each subscription
	log    *slog.Logger
	stop   context.CancelFunc
	done   chan struct{} // closed when the watch has ended
	users  int           // under Pool.mu

	mu      sync.Mutex // held during updates of subscriptions; locked before Pool.mu
	subs    []*Subscription
	list    []Endpoint
	hasList bool  // list is set
	err     error // of the last lookup, if it failed
}

// feedKey identifies a feed.
type feedKey struct {
	resolver Resolver
	service  string
}

// Delays before a Watch that has returned is repeated.
const (
	rewatchFirst = 500 * time.Millisecond
	rewatchCap   = 5 * time.Second
)

var errWatchEnded = errors.New("the resolver stopped watching")

// run watches until ctx ends.
func (f *feed) run(ctx context.Context) {
	defer close(f.done)
	for pause := rewatchFirst; ; pause = min(2*pause, rewatchCap) {
		begin := time.Now()
		err := f.key.resolver.Watch(ctx, f.key.service, func(list []Endpoint, err error) { f.set(list, err, true) })
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errWatchEnded
		}
		f.set(nil, err, false)
		f.log.Warn("watching endpoints failed, retrying", "service", f.key.service, "error", err)
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

// set passes a list or an error of the Resolver to the subscriptions.
func (f *feed) set(list []Endpoint, err error, logs bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	if err == nil {
		f.hasList, f.list = true, list
	}
	for _, s := range f.subs {
		s.take(list, err, logs)
	}
}

// add passes s the last list and error, and all later ones.
func (f *feed) add(s *Subscription) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subs = append(f.subs, s)
	if f.hasList {
		s.take(f.list, nil, true)
	}
	if f.err != nil {
		s.take(nil, f.err, true)
	}
}

func (f *feed) remove(s *Subscription) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subs = slices.DeleteFunc(f.subs, func(o *Subscription) bool { return o == s })
}

// Lookup describes a Subscription.
type Lookup struct {
	Resolver Resolver
	Service  string
	Upstream string       // name in rules and the log; empty: Service
	Group    string       // use only endpoints with this group in their metadata; empty: all
	Logger   *slog.Logger // for failures of Watch; nil discards

	// Update, if not nil, is called like the update of Resolver.Watch, with the endpoints in Group and the number of others.
	// It must not use the Subscription.
	Update func(endpoints []Endpoint, others int, err error)
}

// Subscription keeps a service looked up in a Pool.
type Subscription struct {
	Lookup
	pool   *Pool
	named  bool
	source Source
	first  chan struct{} // closed by Close, or when Pool.onChange has returned for the first list or error
	once   sync.Once

	// Under Pool.mu:
	feed      *feed
	closed    bool
	addresses []string
	heard     bool // found, used and err are set
	found     int  // number of endpoints in all groups
	used      int
	err       error
}

func (s *Subscription) subject() subject { return subject{s.named, s.Service} }

func (s *Subscription) ready() { s.once.Do(func() { close(s.first) }) }

// join starts the lookup.
func (s *Subscription) join() {
	p := s.pool
	p.mu.Lock()
	if s.closed || s.feed != nil {
		p.mu.Unlock()
		return
	}
	s.feed = p.feed(s)
	p.add(s)
	p.mu.Unlock()
	s.feed.add(s)
}

// Close ends the lookup, and waits for the end of a watch that is no longer needed. Rules drop their state of an upstream
// without subscriptions.
func (s *Subscription) Close() {
	p := s.pool
	p.mu.Lock()
	f := s.feed
	if s.closed || f == nil {
		s.closed = true
		p.mu.Unlock()
		s.ready()
		return
	}
	s.closed = true
	f.users--
	last := f.users == 0
	if last {
		f.stop()
		if f.shared {
			delete(p.feeds, f.key)
		}
	}
	p.remove(s)
	p.mu.Unlock()
	s.ready()
	f.remove(s)
	if last {
		<-f.done
	}
}

// take receives a list or an error of the Resolver. logs is false if the error has been logged.
func (s *Subscription) take(list []Endpoint, err error, logs bool) {
	var used []Endpoint
	if err == nil {
		used = s.choose(list)
	}
	if s.Update != nil {
		s.Update(used, len(list)-len(used), err)
	}
	p := s.pool
	p.mu.Lock()
	if !s.closed {
		s.record(list, used, err, logs)
	}
	p.mu.Unlock()
	s.ready()
}

// record needs Pool.mu.
func (s *Subscription) record(list, used []Endpoint, err error, logs bool) {
	p := s.pool
	u := p.upstream(s.Upstream)
	if err == nil {
		s.found, s.used = len(list), len(used)
		s.addresses = make([]string, len(used))
		for i, e := range used {
			s.addresses[i] = e.Address
		}
		p.update(s.Upstream, u)
	}
	if logs {
		s.heard, s.err = true, err
		p.logCondition(u, s.subject())
	}
}

// choose returns the endpoints in the group.
func (s *Subscription) choose(list []Endpoint) []Endpoint {
	if s.Group == "" {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(e Endpoint) bool { return e.Metadata[metaGroup] != s.Group })
}

// condition returns the condition of the service and the reason for it. It needs Pool.mu.
func (s *Subscription) condition() (c condition, why string) {
	switch {
	case s.used == 0 && s.err != nil:
		return unserved, s.err.Error()
	case s.used == 0 && s.found > 0:
		return unserved, fmt.Sprintf("no endpoint is in group %s (%d found)", s.Group, s.found)
	case s.used == 0:
		return unserved, "nothing serves it, according to " + cmp.Or(s.source.Name, "the resolver")
	case s.err != nil && s.source.LogErrors:
		return stale, s.err.Error()
	}
	return supplied, ""
}
