package client

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
)

// Pool holds the endpoints of services, for clients and their rules. It watches a service once for all clients with the same
// Resolver, and keeps the last list when lookups fail. The zero Pool is ready to use. A Pool is safe for concurrent use.
type Pool struct {
	log   *slog.Logger // may be nil
	views sync.Map     // the *view of each upstream, by name

	mu        sync.Mutex // held while onChange runs; locked after feed.mu
	feeds     map[feedKey]*feed
	upstreams map[string]*upstream
	onChange  func(Change)
}

// NewPool returns a Pool that logs when an upstream loses its last endpoint and when it has endpoints again.
func NewPool(log *slog.Logger) *Pool { return &Pool{log: log} }

// Change is a change of the endpoints of an upstream. Endpoints are given by address.
type Change struct {
	Upstream string
	Known    map[string]bool // the endpoints of all its services
	Gone     map[string]bool // removed endpoints
	Over     bool            // no subscription is left
}

// OnChange sets the function that is called for every change, replacing the previous one. Calls are not concurrent. f may
// read the Pool, but must not call Subscribe.
func (p *Pool) OnChange(f func(Change)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onChange = f
}

// Endpoints returns the sorted addresses of a service of an upstream. The caller must not modify them.
func (p *Pool) Endpoints(upstream, service string) []string {
	return p.view(upstream).services[service]
}

// Size returns the number of endpoints of an upstream, for all its services together.
func (p *Pool) Size(upstream string) int { return len(p.view(upstream).known) }

func (p *Pool) view(upstream string) *view {
	v, _ := p.views.Load(upstream)
	if v, ok := v.(*view); ok {
		return v
	}
	return new(view)
}

// view is an immutable snapshot of an upstream.
type view struct {
	services map[string][]string
	known    map[string]bool
}

func newView(subs []*Subscription) *view {
	v := &view{services: make(map[string][]string, 1), known: make(map[string]bool)}
	for _, s := range subs {
		all := slices.Concat(v.services[s.Service], s.addresses)
		slices.Sort(all)
		v.services[s.Service] = slices.Compact(all)
		for _, a := range s.addresses {
			v.known[a] = true
		}
	}
	return v
}

// upstream is the state of an upstream.
type upstream struct {
	clients int // open clients with this Options.Upstream
	subs    []*Subscription
	logged  map[subject]condition
}

// subject is the subject of a log line.
type subject struct {
	named   bool // Lookup.Upstream is set
	service string
}

// condition is the state of a service's endpoints. Its text is the log message.
type condition string

const (
	supplied condition = ""
	stale    condition = "endpoint lookup failed; using last known endpoints"
	unserved condition = "upstream has no endpoints; all calls fail"
)

// open keeps the log state of an upstream until close, even without subscriptions.
func (p *Pool) open(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upstream(name).clients++
}

func (p *Pool) close(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.upstream(name)
	u.clients--
	p.prune(name, u)
}

// upstream needs p.mu.
func (p *Pool) upstream(name string) *upstream {
	u := p.upstreams[name]
	if u == nil {
		if p.upstreams == nil {
			p.upstreams = make(map[string]*upstream)
		}
		u = &upstream{logged: make(map[subject]condition)}
		p.upstreams[name] = u
	}
	return u
}

// prune drops state that is no longer referred to. It needs p.mu.
func (p *Pool) prune(name string, u *upstream) {
	maps.DeleteFunc(u.logged, func(about subject, _ condition) bool {
		return (!about.named || u.clients == 0) &&
			!slices.ContainsFunc(u.subs, func(s *Subscription) bool { return s.subject() == about })
	})
	if len(u.subs) == 0 && u.clients == 0 {
		delete(p.upstreams, name)
	}
}

// add adds s, with the known addresses until it has its own list. It needs p.mu.
func (p *Pool) add(s *Subscription) {
	u := p.upstream(s.Upstream)
	s.addresses = p.Endpoints(s.Upstream, s.Service)
	u.subs = append(u.subs, s)
}

// remove needs p.mu.
func (p *Pool) remove(s *Subscription) {
	u := p.upstream(s.Upstream)
	u.subs = slices.DeleteFunc(u.subs, func(o *Subscription) bool { return o == s })
	p.update(s.Upstream, u)
	p.logCondition(u, s.subject())
	p.prune(s.Upstream, u)
}

// update replaces the view of an upstream and calls onChange. It needs p.mu.
func (p *Pool) update(name string, u *upstream) {
	before, now := p.view(name), newView(u.subs)
	change := Change{Upstream: name, Known: now.known, Gone: make(map[string]bool), Over: len(u.subs) == 0}
	for address := range before.known {
		if !now.known[address] {
			change.Gone[address] = true
		}
	}
	if change.Over {
		p.views.Delete(name)
	} else {
		p.views.Store(name, now)
	}
	if p.onChange != nil {
		p.onChange(change)
	}
}

// logCondition logs the condition of a service, according to its newest subscription, if it has changed. It needs p.mu.
func (p *Pool) logCondition(u *upstream, about subject) {
	var s *Subscription
	for _, o := range u.subs {
		if o.heard && o.subject() == about {
			s = o
		}
	}
	if s == nil || p.log == nil {
		return
	}
	was := u.logged[about]
	now, why := s.condition()
	if was == now {
		return
	}
	u.logged[about] = now
	log := p.log.With("upstream", s.Upstream, "service", s.Service)
	if s.source.Name != "" {
		log = log.With("resolve", s.source.Name)
	}
	switch {
	case now != supplied:
		log.Warn(string(now), "why", why)
	case was == stale:
		log.Info("endpoint lookup works again", "endpoints", len(s.addresses))
	default:
		log.Info("upstream has endpoints again", "endpoints", len(s.addresses))
	}
}

// feed returns the feed for s, new if necessary, and counts s as a user. It needs p.mu.
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

// Subscribe looks up a service until the Subscription is closed. Until its Resolver has returned a list, Endpoints has those
// of earlier subscriptions with the same upstream and service.
func (p *Pool) Subscribe(l Lookup) *Subscription {
	s := p.newSubscription(l)
	s.join()
	return s
}

// newSubscription returns a Subscription that has not joined.
func (p *Pool) newSubscription(l Lookup) *Subscription {
	s := &Subscription{Lookup: l, pool: p, named: l.Upstream != "", first: make(chan struct{})}
	var ok bool
	if s.source, ok = l.Resolver.(Source); !ok {
		s.source.Resolver = l.Resolver
	}
	s.Upstream = cmp.Or(l.Upstream, l.Service)
	s.Logger = cmp.Or(l.Logger, slog.New(slog.DiscardHandler))
	return s
}
