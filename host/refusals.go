package host

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

const (
	refusalsKept   = 1024
	refusalsFreed  = refusalsKept / 16 // at once, when all entries are used
	refusalsMerged = time.Second       // similar refusals within this time share an entry
	refusalsApart  = 8                 // entries for refusals that differ within that time, for each rule and caller
)

// refusal is a remembered refusal, or several alike within a second. Fields outside of the key are those of the
// first.
type refusal struct {
	at    time.Time
	count int
	refusalKey
	kind     string
	position string
	state    string
	trace    string
}

// view returns the refusal as it is shown.
func (r *refusal) view() admin.Refusal {
	v := admin.Refusal{
		At: r.at, Count: r.count, Upstream: r.upstream, Service: r.target.Service, Method: r.target.Method, Caller: r.caller, Key: r.key,
		Various: r.various, Shadow: r.shadow, Code: r.code.String(), Reason: r.reason, Rule: r.rule, Kind: r.kind,
		Position: r.position, State: r.state, Trace: r.trace,
	}
	if r.peer.IsValid() {
		v.Peer = r.peer.String()
	}
	return v
}

// refusalKey identifies similar refusals.
type refusalKey struct {
	rule, reason, caller string // the rule as name@r42
	code                 code.Code
	upstream             string // that was called; empty for a call of this host
	target               policies.Target
	peer                 netip.Addr
	key                  string // of the rate limit
	shadow               bool   // no call was refused, but would have been
	various              bool   // upstream, target, peer and key differ, and are left out
}

// maxNameBytes bounds the names from peers that are kept.
const maxNameBytes = 128

// names returns the fields that peers may invent, and that refer to memory of their requests.
func (k *refusalKey) names() [4]*string {
	return [...]*string{&k.caller, &k.upstream, &k.target.Service, &k.target.Method}
}

func (k *refusalKey) clip() {
	for _, s := range k.names() {
		*s = code.Clip(*s, maxNameBytes)
	}
}

// kept returns a copy of the key that may be kept.
func (k refusalKey) kept() refusalKey {
	for _, s := range k.names() {
		*s = strings.Clone(*s)
	}
	k.key = strings.Clone(k.key)
	return k
}

// summed returns the key for refusals beyond those with their own entries.
func (k refusalKey) summed() refusalKey {
	return refusalKey{shadow: k.shadow, rule: k.rule, reason: k.reason, caller: k.caller, code: k.code, various: true}
}

// refusals holds the last refusals. A flood, of one refusal or of many that differ, does not evict those by other rules or
// of other callers: within a second, refusals that are alike share an entry and few others get one, and when all
// entries are used, the groups with most lose their oldest.
type refusals struct {
	mu     sync.Mutex
	groups map[refusalGroup][]*refusal // the oldest first
	n      int                         // in all groups
	last   map[refusalKey]*refusal
}

// refusalGroup is the refusals that compete for entries.
type refusalGroup struct{ rule, caller string }

func (k *refusalKey) group() refusalGroup { return refusalGroup{k.rule, k.caller} }

// add remembers a refusal. describe fills in the fields that are costly to compute; it is called for new entries only, without
// the mutex.
func (r *refusals) add(now time.Time, key refusalKey, describe func(*refusal)) {
	key.clip()
	e := r.entry(now, key)
	if e == nil {
		return
	}
	about := refusal{refusalKey: e.refusalKey}
	describe(&about)
	r.mu.Lock()
	defer r.mu.Unlock()
	e.kind, e.position = about.kind, about.position
	if !e.various {
		e.state, e.trace = about.state, about.trace
	}
}

// entry counts a refusal, and returns its new entry if it does not share one.
func (r *refusals) entry(now time.Time, key refusalKey) *refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.merge(now, key) {
		return nil
	}
	if r.crowded(now, key.group()) {
		if key = key.summed(); r.merge(now, key) {
			return nil
		}
	}
	if r.n == refusalsKept {
		r.evict()
	}
	e := &refusal{at: now, count: 1, refusalKey: key.kept()}
	r.insert(e)
	return e
}

func (r *refusals) merge(now time.Time, key refusalKey) bool {
	e, ok := r.last[key]
	if !ok || now.Sub(e.at) >= refusalsMerged {
		return false
	}
	e.count++
	return true
}

// crowded reports whether the group has used up its entries for now.
func (r *refusals) crowded(now time.Time, g refusalGroup) bool {
	list := r.groups[g]
	return len(list) >= refusalsApart && now.Sub(list[len(list)-refusalsApart].at) < refusalsMerged
}

func (r *refusals) insert(e *refusal) {
	if r.last == nil {
		r.last, r.groups = make(map[refusalKey]*refusal), make(map[refusalGroup][]*refusal)
	}
	g := e.group()
	r.groups[g] = append(r.groups[g], e)
	r.last[e.refusalKey] = e
	r.n++
}

// evict frees several entries, since a walk through all groups costs more than a refused call. The groups with most
// lose their oldest, and among equals those with the oldest.
func (r *refusals) evict() {
	var sized [refusalsKept + 1]int // groups, by how much they have
	for _, list := range r.groups {
		sized[len(list)]++
	}
	left, most, at := refusalsFreed, refusalsKept, sized[refusalsKept]
	for at <= left { // groups have more than most, which they give up
		left -= at
		most--
		at += sized[most]
	}
	type candidate struct {
		group refusalGroup
		at    time.Time // of its oldest
	}
	next := make([]candidate, 0, at)
	for g, list := range r.groups {
		if more := len(list) - most; more >= 0 {
			next = append(next, candidate{g, list[more].at})
			r.forget(g, more)
		}
	}
	slices.SortFunc(next, func(a, b candidate) int { return a.at.Compare(b.at) })
	for _, c := range next[:left] {
		r.forget(c.group, 1)
	}
}

// forget removes the n oldest of a group.
func (r *refusals) forget(g refusalGroup, n int) {
	if n == 0 {
		return
	}
	list := r.groups[g]
	for _, e := range list[:n] {
		if r.last[e.refusalKey] == e {
			delete(r.last, e.refusalKey)
		}
	}
	clear(list[:n])
	if r.groups[g] = list[n:]; n == len(list) {
		delete(r.groups, g)
	}
	r.n -= n
}

// list returns the refusals since a time, the newest first. An empty caller matches all.
func (r *refusals) list(caller string, since time.Time) []refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []refusal
	for _, list := range r.groups {
		for _, e := range list {
			if !e.at.Before(since) && (caller == "" || caller == e.caller) {
				out = append(out, *e)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b refusal) int { return b.at.Compare(a.at) })
	return out
}

// shadowedBy sets the kind and position of the rule, and returns its name.
func (r *refusal) shadowedBy(g *generation, kind config.Kind) string {
	name, _, _ := strings.Cut(r.rule, "@")
	r.kind = string(kind)
	if rule := g.set.Rule(name); rule != nil {
		r.position = rule.Position(string(kind)).String()
	}
	return name
}
