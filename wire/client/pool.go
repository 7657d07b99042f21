package client

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
)

// Pool holds the endpoints of the services that clients call. It watches a service once for all clients with the same
// Resolver, keeps the last list while there is no newer one, and is where rules read which endpoints an upstream has.
// Clients that share a Pool need not share anything else. The zero Pool is ready for use; any number of goroutines may use
// it at once.
type Pool struct {
	log   *slog.Logger // nil: losses are not logged
	views sync.Map     // of the names of upstreams: the *view of each

	mu        sync.Mutex // held while OnChange's function runs; after feed.mu
	feeds     map[feedKey]*feed
	upstreams map[string]*upstream
	onChange  func(Change)
}

// NewPool returns a Pool that logs when an upstream loses its last endpoint and when it has endpoints again.
func NewPool(log *slog.Logger) *Pool { return &Pool{log: log} }

// Change is a change of the endpoints of an upstream, by their addresses.
type Change struct {
	Upstream string
	Known    map[string]bool // all endpoints of its services
	Gone     map[string]bool // endpoints that are no longer among them
	Over     bool            // no client looks the upstream up any more
}

// OnChange sets the function that is called with every change, one at a time, in place of the one before. It may read
// the Pool but not subscribe to it.
func (p *Pool) OnChange(f func(Change)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onChange = f
}

// Endpoints returns the addresses that serve a service of an upstream, in order. They must not be changed.
func (p *Pool) Endpoints(upstream, service string) []string {
	return p.view(upstream).services[service]
}

// Size returns the number of endpoints of an upstream, over all of its services.
func (p *Pool) Size(upstream string) int { return len(p.view(upstream).known) }

func (p *Pool) view(upstream string) *view {
	if v, ok := p.views.Load(upstream); ok {
		return v.(*view)
	}
	return new(view)
}

// view is what is known of an upstream. It is replaced, never changed.
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

// upstream is what a Pool keeps under the name that rules and the log have for what is called.
type upstream struct {
	clients int // open ones that call it by this name
	subs    []*Subscription
	logged  map[subject]condition
}

// subject is what a line of the log is about.
type subject struct {
	named   bool // the upstream has a name of its own
	service string
}

// condition is the state of a service's endpoints, as the log words it.
type condition string

const (
	supplied condition = ""
	stale    condition = "the endpoints of an upstream cannot be looked up: the last list stays in use"
	unserved condition = "an upstream has no endpoints: all calls fail"
)

// open keeps what was logged of an upstream until close, even while none of its services is looked up.
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
	p.tidy(name, u)
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

// tidy drops what nothing refers to any more. It needs p.mu.
func (p *Pool) tidy(name string, u *upstream) {
	maps.DeleteFunc(u.logged, func(about subject, _ condition) bool {
		return (!about.named || u.clients == 0) &&
			!slices.ContainsFunc(u.subs, func(s *Subscription) bool { return s.subject() == about })
	})
	if len(u.subs) == 0 && u.clients == 0 {
		delete(p.upstreams, name)
	}
}

// add lets s stand for what is known already, until it has a list of its own. It needs p.mu.
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
	p.announce(u, s.subject())
	p.tidy(s.Upstream, u)
}

// update puts a change into the view and tells the rules. It needs p.mu.
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

// announce logs what is news about a service, as its newest subscription has it. It needs p.mu.
func (p *Pool) announce(u *upstream, about subject) {
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
		log.Info("the endpoints of an upstream are looked up again", "endpoints", len(s.addresses))
	default:
		log.Info("an upstream has endpoints again", "endpoints", len(s.addresses))
	}
}

// Lookup says what a Subscription looks up.
type Lookup struct {
	Resolver Resolver
	Service  string
	Upstream string       // how rules and the log name it; empty: Service
	Group    string       // only endpoints whose metadata has this group; empty: all
	Logger   *slog.Logger // told when Resolver stops to watch; nil discards

	// Update, if any, is called as that of Resolver.Watch, with the endpoints that are in the group and the number of
	// those that are not. It does not use the Subscription.
	Update func(endpoints []Endpoint, others int, err error)
}

// Subscription keeps a service looked up.
type Subscription struct {
	Lookup
	pool   *Pool
	named  bool
	source Source
	first  chan struct{} // closed when the resolver has said something and the rules know it, or by Close
	once   sync.Once

	// Under Pool.mu:
	feed      *feed
	closed    bool
	addresses []string
	heard     bool // by the resolver: found and err are what it said
	found     int  // endpoints, of all groups
	used      int
	err       error
}

// Subscribe looks a service up until the Subscription is closed. Until Resolver has given a list, rules go on with what
// other subscriptions of the same upstream and service have.
func (p *Pool) Subscribe(l Lookup) *Subscription {
	s := p.newSubscription(l)
	s.join()
	return s
}

// newSubscription returns one that has not begun.
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

func (s *Subscription) subject() subject { return subject{s.named, s.Service} }

func (s *Subscription) ready() { s.once.Do(func() { close(s.first) }) }

// join begins to look the service up.
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

// Close ends the lookup, and returns when nothing that it has started runs. An upstream without subscriptions is unknown to
// rules, and starts afresh with the next one.
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

// take takes a list, or why there is none. logs is false when that is no news for the log.
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
		s.know(list, used, err, logs)
	}
	p.mu.Unlock()
	s.ready()
}

// know needs p.mu.
func (s *Subscription) know(list, used []Endpoint, err error, logs bool) {
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
		p.announce(u, s.subject())
	}
}

// choose returns the endpoints that are in the group.
func (s *Subscription) choose(list []Endpoint) []Endpoint {
	if s.Group == "" {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(e Endpoint) bool { return e.Metadata[metaGroup] != s.Group })
}

// condition returns the state of the endpoints, and why. It needs p.mu.
func (s *Subscription) condition() (c condition, why string) {
	switch {
	case s.used == 0 && s.err != nil:
		return unserved, s.err.Error()
	case s.used == 0 && s.found > 0:
		return unserved, fmt.Sprintf("none of %d found is in group %s", s.found, s.Group)
	case s.used == 0:
		return unserved, "nobody serves it, as far as " + cmp.Or(s.source.Name, "the resolver") + " tells"
	case s.err != nil && s.source.LogErrors:
		return stale, s.err.Error()
	}
	return supplied, ""
}
