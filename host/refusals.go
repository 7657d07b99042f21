package host

import (
	"strings"
	"sync"
	"time"

	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

const (
	refusalsKept   = 1024
	refusalsMerged = time.Second // refusals alike within this time share one place
)

// refusal is one remembered refusal, or several alike within a second.
type refusal struct {
	at    time.Time
	count int
	refusalKey
	peer     string
	code     string
	kind     string
	position string
	state    string
	trace    string
}

// refusalKey is what refusals alike have in common.
type refusalKey struct {
	rule, reason, caller string // the rule as name@r42
	upstream             string // that was called; empty when this host was
	target               policies.Target
}

// longestName is how much of a name of a peer's choice is kept.
const longestName = 128

// kept is a key that may be kept: its names may be those that a peer made up, and parts of what it sent.
func (k refusalKey) kept() refusalKey {
	for _, s := range []*string{&k.caller, &k.upstream, &k.target.Service, &k.target.Method} {
		*s = strings.Clone(*s)
	}
	return k
}

func (k *refusalKey) clip() {
	for _, s := range []*string{&k.caller, &k.upstream, &k.target.Service, &k.target.Method} {
		*s = code.Clip(*s, longestName)
	}
}

// refusals is a ring of the last refusals. A flood of the same refusal takes one place a second, so that it does not
// push out the others.
type refusals struct {
	mu   sync.Mutex
	ring [refusalsKept]refusal
	next int
	last map[refusalKey]int // place in the ring
}

// add remembers a refusal. describe fills in what is costly to find out; it is called for a new place only.
func (r *refusals) add(now time.Time, key refusalKey, describe func(*refusal)) {
	key.clip()
	r.mu.Lock()
	defer r.mu.Unlock()
	if i, ok := r.last[key]; ok && now.Sub(r.ring[i].at) < refusalsMerged {
		r.ring[i].count++
		return
	}
	if r.last == nil {
		r.last = make(map[refusalKey]int)
	}
	key = key.kept()
	place := r.next
	r.next = (r.next + 1) % refusalsKept
	if old := &r.ring[place]; old.count > 0 && r.last[old.refusalKey] == place {
		delete(r.last, old.refusalKey)
	}
	r.ring[place] = refusal{at: now, count: 1, refusalKey: key}
	describe(&r.ring[place])
	r.last[key] = place
}

// list is what is remembered since a time, the newest first; an empty caller means every caller.
func (r *refusals) list(caller string, since time.Time) []refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []refusal
	for i := range refusalsKept {
		e := r.ring[(r.next-1-i+2*refusalsKept)%refusalsKept]
		if e.count == 0 || e.at.Before(since) || (caller != "" && caller != e.caller) {
			continue
		}
		out = append(out, e)
	}
	return out
}
