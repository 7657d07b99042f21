package policies

import (
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
)

// The types of this file show rules. The admin API and the commands marshal them: the keys are part of the API.

// Explanation lists the rules that apply to a call, and why others do not.
type Explanation struct {
	Upstream string            `json:"upstream,omitempty"` // of a call to an upstream, under client-side rules
	Service  string            `json:"service"`
	Method   string            `json:"method"`
	Caller   string            `json:"caller"`
	Identity map[string]string `json:"identity,omitempty"` // the claims of the caller
	Peer     string            `json:"peer,omitempty"`
	Revision int               `json:"revision"`
	Kinds    []KindExplanation `json:"kinds"` // in the order in which a server, or a client, evaluates them; only those with rules
}

// KindExplanation lists the rules of one kind.
type KindExplanation struct {
	Kind    config.Kind   `json:"kind"`
	Applies []AppliedRule `json:"applies"` // in the order evaluated; those in shadow only count
	Losers  []LosingRule  `json:"losers"`
}

// AppliedRule is a rule that applies to the call.
type AppliedRule struct {
	Rule         string      `json:"rule"`
	Mode         config.Mode `json:"mode"`
	EnforceShare string      `json:"enforce_share,omitempty"`
	Enforced     bool        `json:"enforced"` // for this caller
	Position     string      `json:"position"` // file:line
	Status       string      `json:"status"`
	Detail       string      `json:"detail,omitempty"` // why it is partly enforced, or broken
	Setting      string      `json:"setting"`          // "500 per 1s, burst 1000"
	State        string      `json:"state,omitempty"`
	Decisions    Decisions   `json:"decisions"` // of the rule for this method
}

// LosingRule is a rule for the method that does not apply to the call.
type LosingRule struct {
	Rule     string      `json:"rule"`
	Mode     config.Mode `json:"mode"`
	Position string      `json:"position"` // file:line
	Reason   string      `json:"reason"`   // "less specific than arith-mul"
}

// The statuses of rules.
const (
	StatusEnforced = "enforced"
	StatusPartly   = "partly" // enforced, but not for all calls that it matches
	StatusShadow   = "shadow"
	StatusOff      = "off"
	StatusNothing  = "matches nothing" // of this host
	StatusExpired  = "expired"
	StatusBroken   = "broken" // it has panicked
)

// RuleState is a rule with its state.
type RuleState struct {
	Name         string      `json:"name"`
	Description  string      `json:"description,omitempty"`
	Mode         config.Mode `json:"mode"`
	Status       string      `json:"status,omitempty"`        // only of the revision in force
	Detail       string      `json:"detail,omitempty"`        // "overridden by slow-mul for Arith.Mul"
	EnforceShare string      `json:"enforce_share,omitempty"` // "10%", when set
	Expires      time.Time   `json:"expires,omitzero"`
	Expired      bool        `json:"expired,omitempty"`
	Position     string      `json:"position"` // file:line
	Targets      int         `json:"targets"`  // methods that it matches; methods of upstreams count once called
	Kinds        []KindState `json:"kinds"`
}

// KindState is one kind of a rule with its state.
type KindState struct {
	Kind      config.Kind `json:"kind"`
	Position  string      `json:"position"`        // file:line
	Setting   string      `json:"setting"`         // "500 per 1s, burst 1000"
	State     string      `json:"state,omitempty"` // "0 of 1000 tokens"
	Decisions Decisions   `json:"decisions"`       // for all methods
}

// Decisions count the decisions of a rule.
type Decisions struct {
	Allow        uint64 `json:"allow"`
	Reject       uint64 `json:"reject"`
	Wait         uint64 `json:"wait"`          // allowed after a wait
	ShadowReject uint64 `json:"shadow_reject"` // would have been rejected
}

func (d *Decisions) add(o Decisions) {
	d.Allow += o.Allow
	d.Reject += o.Reject
	d.Wait += o.Wait
	d.ShadowReject += o.ShadowReject
}

// LimiterStats is the state of a rate limit.
type LimiterStats struct {
	Rule       string      `json:"rule"`
	Mode       config.Mode `json:"mode"` // enforce or shadow
	Keyed      bool        `json:"keyed"`
	Tokens     float64     `json:"tokens"` // not keyed: left in the bucket; negative while calls wait
	Burst      int64       `json:"burst"`
	Keys       int         `json:"keys"`        // keyed: buckets kept
	Overflow   uint64      `json:"overflow"`    // keyed: calls that shared a bucket because all keys were in use
	MissingKey uint64      `json:"missing_key"` // keyed: calls without the metadata of the key
}

// AdaptiveLimit is a concurrency limit that adapts.
type AdaptiveLimit struct {
	Rule  string
	Mode  config.Mode // enforce or shadow
	Limit int         // now
}

// The states of a rate limiter that a Transition can report.
const (
	LimiterKeyed    = limit.StateKeyed    // each key has a bucket of its own
	LimiterOverflow = limit.StateOverflow // new keys share one
)

// BreakerStats is the state of one circuit breaker.
type BreakerStats struct {
	Rule        string            `json:"rule"`
	Mode        config.Mode       `json:"mode"`               // enforce or shadow
	Upstream    string            `json:"upstream,omitempty"` // of client-side rules
	Target      string            `json:"target"`             // Service/Method, the address of an endpoint, or the upstream
	State       string            `json:"state"`              // closed, half_open or open
	Since       time.Time         `json:"since,omitzero"`
	OpenFor     time.Duration     `json:"-"`                     // remaining time until it half-opens
	Cause       string            `json:"cause,omitempty"`       // of the last opening
	Transitions map[string]uint64 `json:"transitions,omitempty"` // by resulting state

	OpenUntil   time.Time `json:"open_until,omitzero"`
	HeldUntil   time.Time `json:"held_until,omitzero"` // it is kept open or closed until then
	HeldBy      string    `json:"held_by,omitempty"`
	Calls       int       `json:"calls,omitempty"`    // that ended, in the window or, unless it is closed, as probes
	Failures    int       `json:"failures,omitempty"` // of these, slow calls included
	Probing     int       `json:"probing,omitempty"`  // probes in flight
	Probes      int       `json:"probes,omitempty"`   // that have to succeed to close it
	Outcomes    []string  `json:"outcomes,omitempty"` // of the last calls, the oldest first: ok, failed or slow
	LastFailure string    `json:"last_failure,omitempty"`
}

// OutlierStats is the state of one endpoint under outlier detection.
type OutlierStats struct {
	Rule     string
	Target   string // the address, with the upstream before it if the rule is for several
	Upstream string
	Enforced bool // or in shadow
	limit.OutlierStats
}
