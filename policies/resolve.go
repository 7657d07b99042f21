package policies

import (
	"strings"
	"time"
)

// subject is what a guard is made for.
type subject struct {
	target   Target // by which rules match
	upstream string // of calls that go out
	late     bool   // Compile did not know it
	counted  Target // late: by which it is counted
}

// calling is a method of an upstream.
type calling struct {
	upstream string
	target   Target
}

// Resolve is the Guard of a method, of this host or of a service that is reached through it: that of the latter is
// compiled when it is first asked for, and kept. Beyond 10,000 methods the others are compiled for each call, and share
// breakers and counters under the name Other; the rules that hold for them are their own all the same. It is never nil,
// but for a nil Snapshot.
func (s *Snapshot) Resolve(t Target) *Guard {
	if s == nil {
		return nil
	}
	if g := s.guards[t]; g != nil {
		return g
	}
	if s.inbound.empty() {
		return s.nothing
	}
	if g, ok := s.resolved.find(t); ok {
		return g
	}
	// What a peer sent must not be kept alive by its name.
	t = Target{Service: strings.Clone(t.Service), Method: strings.Clone(t.Method)}
	of := subject{target: t, late: true, counted: t}
	if s.resolved.full(mostLate) {
		of.counted = Target{Method: Other}
	}
	s.compiling.Lock()
	defer s.compiling.Unlock()
	return s.resolved.add(t, s.compileLate(of, &s.inbound), mostLate)
}

// guardOf is the guard of a method of an upstream.
func (s *Snapshot) guardOf(upstream, service, method string) *Guard {
	key := calling{upstream: upstream, target: Target{Service: service, Method: method}}
	if g, ok := s.calling.find(key); ok {
		return g
	}
	key = calling{upstream: strings.Clone(upstream), target: Target{Service: strings.Clone(service), Method: strings.Clone(method)}}
	of := subject{target: key.target, upstream: key.upstream, late: true, counted: key.target}
	if s.calling.full(mostLate) {
		of.counted = Target{Method: Other}
	}
	s.compiling.Lock() // until it is in: what forget drops must not be in a guard that comes after
	defer s.compiling.Unlock()
	return s.calling.add(key, s.compileLate(of, &s.outbound), mostLate)
}

// compileLate is called with compiling held.
func (s *Snapshot) compileLate(of subject, rules *index) *Guard {
	matching := rules.match(of.target, of.upstream)
	if len(matching) == 0 {
		return s.nothing
	}
	return s.newGuard(of, matching, time.Now())
}
