// Package policies compiles rules into guards, which decide on the calls of one method in one pass.
//
// Each edit compiles the rules into a Snapshot. The state of a rule (tokens, calls in flight, open breakers, counters) belongs
// to the rule's name and kind, and is carried over from snapshot to snapshot.
package policies

import (
	"net/netip"
	"sync/atomic"
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

// maxFound bounds the targets unknown to Compile that have state of their own; the others share Other.
const maxFound = 10_000

// String returns Service/Method.
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

// Options describes the host to Compile.
type Options struct {
	Host     string // named in refusals
	Revision int    // refusals name rule@rN

	// Aliases are other names of services of this host: alias to service. Targets carry the names of the services only.
	Aliases map[string]string

	// Upstreams are the names of the upstreams of this host; nil if any name may be one. Unmatched warns of rules for others.
	Upstreams []string

	// Pool holds the endpoints of the upstreams, for all snapshots of a host; nil: that of the snapshot before, or a new one.
	Pool *client.Pool

	// Remote reports whether a service that is not a target may be called through Resolve; nil: none.
	Remote func(service string) bool

	// Restore has the tokens and the breakers that the rules of an earlier snapshot would have by now; nil: those of prev stay.
	Restore *Baseline

	// Holds keep breakers open or closed.
	Holds []BreakerHold

	// Allowed are names and globs of the services that Remote can be true for, and of the upstreams that can be called then;
	// nil: any. Unmatched warns of rules for others.
	Allowed []string

	// OnTransition receives every change of a breaker's state, every ejection and return of an endpoint, and rate limits
	// whose keys are all in use. For each of them it is called in order, for different ones concurrently, on the goroutine
	// of a call or a timer and without locks held: it must not block. The one of the snapshot activated last is used.
	OnTransition func(Transition)

	// OnBroken receives each kind of a rule that panics, once, on the goroutine of a call or a timer: it must not block.
	OnBroken func(Broken)

	// CPU returns the CPU utilization, for rules that shed; it is called for each call that they match. Nil: it cannot be measured, and
	// they refuse nothing.
	CPU func() Load

	// Fault is called at each Moment of a rule, so that tests can have it panic; nil: nothing is called.
	Fault func(rule string, kind config.Kind, at limit.Moment)
}

// Transition is a change of the state of a breaker or of an endpoint under outlier detection, or reports, once a minute,
// that new keys of a rate limit share a bucket.
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

// lineage is shared by successive snapshots.
type lineage struct {
	sink   *sink
	pool   *client.Pool
	meter  *meter
	orders uint64 // given to their limiters and semaphores
}

// meter is what rules that shed decide by.
type meter struct {
	cpu   func() Load // nil: it cannot be measured
	draws limit.Draws
}

// Load is how busy the CPU is.
type Load = limit.Load

// nextOrder returns the position of a new limiter or semaphore in the order in which calls lock them.
func (l *lineage) nextOrder() uint64 {
	l.orders++
	return l.orders
}

// sink holds the function that the snapshot activated last has set to receive transitions.
type sink struct {
	notify atomic.Pointer[func(Transition)]
}

// SpentError is the error of the last attempt of a call that was not retried because the budget of its rule is spent.
type SpentError = outgoing.SpentError

// Call describes a call to the rules.
type Call struct {
	Caller   string                          // the verified one; empty is anonymous
	Claims   map[string]string               // of the caller, by the names that rules use; may be nil
	Peer     netip.Addr                      // where the call came from; the zero Addr matches no network
	Metadata interface{ Get(string) string } // of the request; may be nil
	Arrived  time.Time                       // timeouts count from here; zero means now
	Deadline time.Time                       // the caller's own; zero means none

	target   Target // of its guard
	priority limit.Priority
	asked    *entry // the last one: it is to blame for a panic
	shadowed []ShadowRefusal
}

// ShadowRefusal is a refusal that a rule did not enforce because it is in shadow, or enforced for other callers only
// (enforceShare).
type ShadowRefusal struct {
	Rule   string // name@rN
	Kind   config.Kind
	Code   code.Code
	Reason string
}

// blame marks the entry that was asked last as broken, and calls drop. It panics again if none was asked.
func (c *Call) blame(value any, drop func()) {
	e := c.asked
	if e != nil {
		e.health.Break(value)
	}
	drop()
	c.shadowed, c.asked = nil, nil
	if e == nil {
		panic(value) //nolint:forbidigo // no rule is the cause
	}
}

// Shadowed returns the rules that would have refused the call, once Enter has returned.
func (c *Call) Shadowed() []ShadowRefusal { return c.shadowed }
