// Package policies compiles rules into guards: what holds for the calls of one method, decided in one pass.
//
// Rules are compiled once for each edit into a Snapshot. What a rule has learned (tokens, calls in flight, open breakers,
// counters) belongs to the rule's name and kind, and goes on from snapshot to snapshot.
package policies

import (
	"net/netip"
	"time"
)

// Anonymous is the caller of a call without a verified identity.
const Anonymous = "anonymous"

// Target is a method of this host, by the names it is registered under.
type Target struct {
	Service string `json:"service"`
	Method  string `json:"method"`
}

// String is Service/Method.
func (t Target) String() string { return t.Service + "/" + t.Method }

// Options are what Compile needs to know of the host.
type Options struct {
	Host     string // named in refusals
	Revision int    // refusals name rule@rN

	// Aliases are other names of services of this host: alias to service. Targets carry the names of the services only.
	Aliases map[string]string

	// OnTransition is told of every change of a breaker's state. It is called without locks held and in order for each
	// breaker, but for several breakers at a time, on the goroutine of a call or a timer: it must not block. That of
	// the snapshot activated last counts.
	OnTransition func(Transition)
}

// Transition is a change of a breaker's state.
type Transition struct {
	Rule   string    `json:"rule"`
	Target string    `json:"target"`
	From   string    `json:"from"` // closed, half_open or open
	To     string    `json:"to"`
	Cause  string    `json:"cause,omitempty"` // with the error that tripped it
	At     time.Time `json:"at"`
}

// Call is what rules look at.
type Call struct {
	Caller   string                          // the verified one; empty is anonymous
	Peer     netip.Addr                      // where the call came from; the zero Addr matches no network
	Metadata interface{ Get(string) string } // of the request; may be nil
	Arrived  time.Time                       // timeouts count from here; zero means now
	Deadline time.Time                       // the caller's own; zero means none
}
