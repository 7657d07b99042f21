// Package policies compiles rules into guards: what holds for the calls of one method, decided in one pass.
//
// Rules are compiled once for each edit into a Snapshot. What a rule has learned (tokens, calls in flight, open breakers,
// counters) belongs to the rule's name and kind, and goes on from snapshot to snapshot.
package policies

import (
	"net/netip"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/policies/outgoing"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
)

// Anonymous is the caller of a call without a verified identity.
const Anonymous = "anonymous"

// Target is a method of this host, by the names it is registered under.
type Target struct {
	Service string
	Method  string
}

// Other is the target that methods share when there are too many of them.
const Other = limit.Other

// maxFound is how many targets that Compile does not know have state of their own; the others share Other.
const maxFound = 10_000

// String is Service/Method.
func (t Target) String() string {
	if t.Service == "" {
		return t.Method
	}
	return t.Service + "/" + t.Method
}

// subject is the method that a guard is compiled for.
type subject struct {
	target   Target // by which rules match
	upstream string // of calls to an upstream
	counted  Target // by which it is counted: target, or Other for all beyond the bound
}

// Options are what Compile needs to know of the host.
type Options struct {
	Host     string // named in refusals
	Revision int    // refusals name rule@rN

	// Aliases are other names of services of this host: alias to service. Targets carry the names of the services only.
	Aliases map[string]string

	// Upstreams are the names of the upstreams of this host; nil when any name may be one. They serve to warn of rules
	// for others.
	Upstreams []string

	// Pool holds the endpoints of the upstreams, for all snapshots of a host; nil: that of the snapshot before, or a new one.
	Pool *client.Pool

	// Remote tells whether a service that is no target may come to be called through Resolve; nil: none.
	Remote func(service string) bool

	// Allowed are names and globs of the services that Remote can be true for, and of the upstreams that can be called then;
	// nil: any. They serve to warn of rules for others.
	Allowed []string

	// OnTransition is told of every change of a breaker's state, of every endpoint that is ejected or comes back, and of
	// rate limits of which all keys are in use. It is called without locks held and in order for each of them, but for
	// several at a time, on the goroutine of a call or a timer: it must not block. That of the snapshot activated last
	// counts.
	OnTransition func(Transition)
}

// Transition is a change of a breaker's state, or of an endpoint's under outlier detection, or tells, once a minute, that
// new keys of a rate limit share a bucket.
type Transition struct {
	Rule     string
	Mode     config.Mode // enforce or shadow
	Kind     config.Kind // circuitBreaker, outlierDetection or rateLimit
	Target   string
	Upstream string // of client-side rules
	From     string // closed, half_open or open; healthy or ejected; keyed or overflow
	To       string
	Cause    string // with the error that tripped it
	At       time.Time
}

// SpentError is the error of the last attempt of a call that was not retried because the budget of its rule is spent.
type SpentError = outgoing.SpentError

// Call is what rules look at.
type Call struct {
	Caller   string                          // the verified one; empty is anonymous
	Peer     netip.Addr                      // where the call came from; the zero Addr matches no network
	Metadata interface{ Get(string) string } // of the request; may be nil
	Arrived  time.Time                       // timeouts count from here; zero means now
	Deadline time.Time                       // the caller's own; zero means none

	target   Target // of its guard
	shadowed []ShadowRefusal
}

// ShadowRefusal is what a rule would have done to a call that it let pass, since it is in shadow, or enforced for others
// only (enforceShare).
type ShadowRefusal struct {
	Rule   string // name@rN
	Kind   config.Kind
	Code   code.Code
	Reason string
}

// Shadowed returns by which rules the call would have been refused, once Enter has returned.
func (c *Call) Shadowed() []ShadowRefusal { return c.shadowed }
