package telemetry

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/host/traffic"
	"github.com/easymicro/easymicro/wire/code"
)

// maxClientMethods bounds the methods of an upstream that have their own series; later ones are counted as _OTHER.
const maxClientMethods = 1000

// clientMetrics counts and times the calls to upstreams.
type clientMetrics struct {
	durations *durations

	mu        sync.Mutex
	upstreams map[string]*UpstreamMetrics
}

func newClientMetrics() *clientMetrics {
	return &clientMetrics{
		durations: newDurations("rpc_client_call_duration_seconds", "Duration of calls to upstreams, all attempts included.", "upstream"),
		upstreams: make(map[string]*UpstreamMetrics),
	}
}

// Upstream returns the metrics of the calls to an upstream of the manifest; equal names return the same metrics until
// RetainUpstreams drops them. The empty name is for calls forwarded by a gateway: each is counted under its service, and a
// method gets its own series only once a peer has shown that it exists.
func (m *clientMetrics) Upstream(name string) *UpstreamMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, ok := m.upstreams[name]
	if !ok {
		u = &UpstreamMetrics{durations: m.durations, upstream: name, folded: make(map[string]*outgoingSeries)}
		u.exact.Store(new(map[written]*outgoingSeries))
		m.upstreams[name] = u
	}
	return u
}

// RetainUpstreams drops the series of each upstream for which keep returns false. Calls that end later are not counted.
func (m *clientMetrics) RetainUpstreams(keep func(name string) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, u := range m.upstreams {
		if keep(name) {
			continue
		}
		delete(m.upstreams, name)
		for upstream := range u.drop() {
			by := label(upstream)
			m.durations.drop(func(k seriesKey) bool { return k.by == by })
		}
	}
}

// UpstreamMetrics counts and times the calls to one upstream, or to the many services that a gateway forwards to. It is
// safe for concurrent use.
type UpstreamMetrics struct {
	durations *durations
	upstream  string // empty: the service of each call, as named by callers

	exact atomic.Pointer[map[written]*outgoingSeries] // by the names as written; replaced, never changed

	mu      sync.Mutex
	folded  map[string]*outgoingSeries // by folded spelling
	dropped bool
}

type written struct{ service, method string }

// outgoingSeries counts and times the calls of one method of an upstream.
type outgoingSeries struct {
	callSeries
	traffic *traffic.Method
}

// done counts a call that ended at end; took is its duration, and e is nil for a success.
func (u *UpstreamMetrics) done(service, method string, e *code.Error, end time.Time, took time.Duration) {
	c := code.OK
	if e != nil {
		c = e.Code
	}
	s := (*u.exact.Load())[written{service, method}]
	if s == nil {
		s = u.learn(written{service, method}, e)
	}
	here := traffic.Here()
	s.observe(here, c, took)
	s.traffic.Observe(here, end, took, c, e != nil && e.Own() && e.Rule != "")
}

// learn returns the series of a method called for the first time in this spelling.
func (u *UpstreamMetrics) learn(w written, e *code.Error) *outgoingSeries {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.upstream == "" && !exists(e) {
		return u.rest()
	}
	upstream := cmp.Or(u.upstream, w.service)
	name := w.service + "/" + w.method
	key := upstream + " " + strings.ToLower(name) // peers accept any spelling: one series for all of them
	if _, ok := u.folded[key]; !ok && len(u.folded) >= maxClientMethods {
		return u.rest()
	}
	s := u.fold(key, name, upstream)
	if old := *u.exact.Load(); len(old) < 2*maxClientMethods {
		next := make(map[written]*outgoingSeries, len(old)+1)
		maps.Copy(next, old)
		next[w] = s
		u.exact.Store(&next)
	}
	return s
}

// rest returns the series of all methods without their own. The caller holds u.mu.
func (u *UpstreamMetrics) rest() *outgoingSeries {
	return u.fold("", otherMethod, cmp.Or(u.upstream, otherMethod))
}

// fold returns the series of a folded name, and makes it if needed. The caller holds u.mu.
func (u *UpstreamMetrics) fold(key, name, upstream string) *outgoingSeries {
	s, ok := u.folded[key]
	if !ok {
		s = &outgoingSeries{callSeries{durations: u.durations, method: name, by: upstream, dropped: u.dropped}, traffic.New()}
		u.folded[key] = s
	}
	return s
}

// Methods returns the methods called so far as Service/Method, sorted; _OTHER has those without their own series.
func (u *UpstreamMetrics) Methods() []traffic.Named {
	u.mu.Lock()
	defer u.mu.Unlock()
	list := make([]traffic.Named, 0, len(u.folded))
	for _, s := range u.folded {
		list = append(list, traffic.Named{Method: s.traffic, Name: s.method})
	}
	slices.SortFunc(list, func(a, b traffic.Named) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// drop stops counting and returns the names under which u has counted.
func (u *UpstreamMetrics) drop() map[string]bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.dropped = true
	names := make(map[string]bool, 1)
	for _, s := range u.folded {
		s.drop()
		names[s.by] = true
	}
	return names
}
