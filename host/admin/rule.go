package admin

import (
	"encoding/json"
	"time"
)

// Rule is one rule of the set in force.
type Rule struct {
	Name         string          `json:"name"`
	Description  string          `json:"description,omitempty"`
	Mode         string          `json:"mode"`
	EnforceShare string          `json:"enforce_share,omitempty"` // "10%", when written
	Expires      time.Time       `json:"expires,omitzero"`
	Expired      bool            `json:"expired,omitempty"`
	Position     string          `json:"position"` // file:line
	Match        json.RawMessage `json:"match,omitempty"`
	Targets      int             `json:"targets"` // methods that it matches
	Kinds        []RuleKind      `json:"kinds"`
}

// RuleKind is one kind of a rule.
type RuleKind struct {
	Kind      string    `json:"kind"`
	Position  string    `json:"position"`        // file:line
	Setting   string    `json:"setting"`         // "500 per 1s, burst 1000"
	State     string    `json:"state,omitempty"` // "0.3 of 1000 tokens"
	Decisions Decisions `json:"decisions"`
}

// Decisions are how often a rule decided what.
type Decisions struct {
	Allow        uint64 `json:"allow"`
	Reject       uint64 `json:"reject"`
	Wait         uint64 `json:"wait"`
	ShadowReject uint64 `json:"shadow_reject"`
}

// Explanation is what applies to a call of one method by one caller.
type Explanation struct {
	Upstream string            `json:"upstream,omitempty"` // the call is one to this upstream, under client-side rules
	Service  string            `json:"service"`
	Method   string            `json:"method"`
	Caller   string            `json:"caller"`
	Peer     string            `json:"peer,omitempty"`
	Revision int               `json:"revision"`
	Kinds    []KindExplanation `json:"kinds"` // in the order in which a server asks; only those with rules
	StandIn  *StandIn          `json:"stand_in,omitempty"`
}

// KindExplanation has the rules of one kind.
type KindExplanation struct {
	Kind    string        `json:"kind"`
	Applies []AppliedRule `json:"applies"` // in the order asked; those in shadow only count
	Losers  []LosingRule  `json:"losers"`
}

// AppliedRule is a rule that is asked about the call.
type AppliedRule struct {
	Rule         string    `json:"rule"`
	Mode         string    `json:"mode"`
	EnforceShare string    `json:"enforce_share,omitempty"`
	Enforced     bool      `json:"enforced"` // refusals are carried out for this caller
	Position     string    `json:"position"` // file:line
	Setting      string    `json:"setting"`
	State        string    `json:"state,omitempty"`
	Decisions    Decisions `json:"decisions"` // of the rule for this method
}

// LosingRule is a rule about the method that does not decide, and why.
type LosingRule struct {
	Rule     string `json:"rule"`
	Mode     string `json:"mode"`
	Position string `json:"position"`
	Reason   string `json:"reason"`
}

// RuleExplanation is a rule as it was in a revision.
type RuleExplanation struct {
	Revision  int       `json:"revision"`
	AppliedAt time.Time `json:"applied_at,omitzero"`
	Rule      Rule      `json:"rule"`
	Text      string    `json:"text,omitempty"`   // as written, YAML
	Status    string    `json:"status,omitempty"` // in force, changed since r44, removed in r45
}
