package admin

import (
	"time"

	"github.com/easymicro/easymicro/policies"
)

// Explanation shows which rules apply to a call of one method by one caller.
type Explanation struct {
	policies.Explanation
	Fallback *Fallback `json:"stand_in,omitempty"`
}

// RuleExplanation is a rule as it was in a revision.
type RuleExplanation struct {
	Revision  int                `json:"revision"`
	AppliedAt time.Time          `json:"applied_at,omitzero"`
	Rule      policies.RuleState `json:"rule"`
	Text      string             `json:"text,omitempty"`   // as written, YAML
	Status    string             `json:"status,omitempty"` // in force, changed in r44, removed in r45
}

// Refusal is a call that the host refused or ended, incoming or to an upstream, or several similar ones within a second.
// Time, state and trace are those of the first. If a caller has more different refusals in a second than are kept
// apart, the rest are one Refusal with Various set, without upstream, service, method, peer and key.
type Refusal struct {
	At       time.Time `json:"at"`
	Count    int       `json:"count"`
	Various  bool      `json:"various,omitempty"`
	Shadow   bool      `json:"shadow,omitempty"`   // it was allowed, and would be refused if its rule were enforced
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
	State    string    `json:"state,omitempty"`    // at that time
	Trace    string    `json:"trace,omitempty"`
}
