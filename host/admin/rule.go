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
	EnforceShare float64         `json:"enforce_share,omitempty"` // above 0 and up to 1 when written
	Expires      time.Time       `json:"expires,omitzero"`
	Expired      bool            `json:"expired,omitempty"`
	Position     string          `json:"position"` // file:line
	Source       string          `json:"source,omitempty"`
	Match        json.RawMessage `json:"match,omitempty"`
	Targets      []string        `json:"targets,omitempty"` // the methods that it can match, as Service/Method
	Kinds        []RuleKind      `json:"kinds"`
}

// RuleKind is one kind of a rule.
type RuleKind struct {
	Kind      string            `json:"kind"`
	Text      string            `json:"text,omitempty"`     // for people: "500 per 1s, burst 1000"
	Position  string            `json:"position,omitempty"` // file:line
	State     string            `json:"state,omitempty"`    // for people
	Decisions map[string]uint64 `json:"decisions,omitempty"`
}

// Explanation is what applies to a call of one method by one caller.
type Explanation struct {
	Service  string        `json:"service"`
	Method   string        `json:"method"`
	Caller   string        `json:"caller"`
	Peer     string        `json:"peer,omitempty"`
	Revision int           `json:"revision"`
	Applies  []Application `json:"applies"` // in the order asked
	Losers   []Loser       `json:"losers,omitempty"`
}

// Application is a rule that is asked about a call.
type Application struct {
	Kind     string `json:"kind"`
	Rule     string `json:"rule"`
	Mode     string `json:"mode"`
	Text     string `json:"text,omitempty"`
	Position string `json:"position"` // file:line
	State    string `json:"state,omitempty"`
	Note     string `json:"note,omitempty"` // such as an enforceShare that does not reach this caller
}

// Loser is a rule that matches the method and is not asked, and why.
type Loser struct {
	Kind     string `json:"kind"`
	Rule     string `json:"rule"`
	Mode     string `json:"mode,omitempty"`
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
