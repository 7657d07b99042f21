package client

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"
)

// feed is one watch of a service, for all subscriptions with the same resolver.
type feed struct {
	key    feedKey
	shared bool // in Pool.feeds: resolvers that cannot be compared are watched for each subscription
	log    *slog.Logger
	stop   context.CancelFunc
	done   chan struct{} // closed when the watch has ended
	users  int           // under Pool.mu

	mu   sync.Mutex // held while subscriptions are told; before Pool.mu
	subs []*Subscription
	list []Endpoint
	has  bool  // list was given
	err  error // why nothing newer is known
}

// feedKey identifies a feed.
type feedKey struct {
	resolver Resolver
	service  string
}

// feed returns the feed of s, with one user more. It needs p.mu.
func (p *Pool) feed(s *Subscription) *feed {
	key := feedKey{s.source.Resolver, s.Service}
	f := &feed{key: key, shared: reflect.ValueOf(key.resolver).Comparable(), log: s.Logger, done: make(chan struct{}), users: 1}
	if f.shared {
		if running := p.feeds[key]; running != nil {
			running.users++
			return running
		}
		if p.feeds == nil {
			p.feeds = make(map[feedKey]*feed)
		}
		p.feeds[key] = f
	}
	var ctx context.Context
	ctx, f.stop = context.WithCancel(context.Background())
	go f.run(ctx)
	return f
}

// A Watch that returns is called again, at first after rewatchFirst.
const (
	rewatchFirst = 500 * time.Millisecond
	rewatchCap   = 5 * time.Second
)

var errWatchEnded = errors.New("the resolver has stopped to watch")

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
		f.log.Warn("the endpoints of a service are watched no longer; trying again", "service", f.key.service, "error", err)
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

// set takes a list, or why there is none, from the resolver.
func (f *feed) set(list []Endpoint, err error, logs bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	if err == nil {
		f.has, f.list = true, list
	}
	for _, s := range f.subs {
		s.take(list, err, logs)
	}
}

// add tells s what is known, and from now on what is new.
func (f *feed) add(s *Subscription) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subs = append(f.subs, s)
	if f.has {
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
