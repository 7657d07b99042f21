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

// Revision is one attempt to change what runs, and what came of it.
type Revision struct {
	Revision int       `json:"revision"`
	Hash     string    `json:"hash"`
	At       time.Time `json:"at"`
	Source   string    `json:"source"` // start, file, signal, admin
	Who      string    `json:"who,omitempty"`
	Why      string    `json:"why,omitempty"`
	Result   string    `json:"result"` // applied, rejected, unchanged
	Took     float64   `json:"took_seconds,omitempty"`
	Rules    int       `json:"rules"`
	Error    string    `json:"error,omitempty"`
	Problems []Problem `json:"problems,omitempty"`
	Changes  []Change  `json:"changes,omitempty"`
	Warnings []Problem `json:"warnings,omitempty"`
	Files    []File    `json:"files,omitempty"`
}

// Change is one difference between two sets.
type Change struct {
	Subject  string `json:"subject"`
	Path     string `json:"path,omitempty"`
	Old      string `json:"old,omitempty"`
	New      string `json:"new,omitempty"`
	Class    string `json:"class"`              // live, rolling, restart
	Position string `json:"position,omitempty"` // file:line
	Text     string `json:"text"`               // all of it in one line
}

// File is a file of a set.
type File struct {
	Path string `json:"path"`
	Hash string `json:"hash"`
}

// Refusal is one call that the host refused or ended, or several alike within a second: one that came in, or one that it
// made itself to an upstream. Time, state and trace are those of the first of several. When a caller has more
// different refusals in a second than are kept apart, the rest are one Refusal with Various set; it has no upstream,
// service, method, peer or key.
type Refusal struct {
	At       time.Time `json:"at"`
	Count    int       `json:"count"`
	Various  bool      `json:"various,omitempty"`
	Shadow   bool      `json:"shadow,omitempty"`   // it was let pass, and would be refused if its rule were enforced
	Upstream string    `json:"upstream,omitempty"` // that was called, under client-side rules
	Service  string    `json:"service"`
	Method   string    `json:"method"`
	Caller   string    `json:"caller"`
	Peer     string    `json:"peer,omitempty"`
	Key      string    `json:"key,omitempty"` // of a rate limit, such as metadata.tenant=acme
	Code     string    `json:"code"`
	Reason   string    `json:"reason"`
	Rule     string    `json:"rule,omitempty"` // name@r42
	Kind     string    `json:"kind,omitempty"`
	Position string    `json:"position,omitempty"` // file:line
	State    string    `json:"state,omitempty"`    // at that moment
	Trace    string    `json:"trace,omitempty"`
}
