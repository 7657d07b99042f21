package policies

import "github.com/easymicro/easymicro/config"

// Explanation says what happens to a call and why.
type Explanation struct {
	Service  string            `json:"service"`
	Method   string            `json:"method"`
	Caller   string            `json:"caller"`
	Peer     string            `json:"peer,omitempty"`
	Revision int               `json:"revision"`
	Kinds    []KindExplanation `json:"kinds"` // in the order in which a server asks; only those with rules
}

// KindExplanation has the rules of one kind.
type KindExplanation struct {
	Kind    config.Kind   `json:"kind"`
	Applies []AppliedRule `json:"applies"` // in the order asked; those in shadow only count
	Losers  []LosingRule  `json:"losers"`
}

// AppliedRule is a rule that decides about the call.
type AppliedRule struct {
	Rule         string          `json:"rule"`
	Mode         config.Mode     `json:"mode"`
	EnforceShare string          `json:"enforce_share,omitempty"`
	Enforced     bool            `json:"enforced"` // refusals are carried out for this caller
	Position     config.Position `json:"position"`
	Setting      string          `json:"setting"` // "500 per 1s, burst 1000"
	State        string          `json:"state,omitempty"`
	Decisions    Decisions       `json:"decisions"` // of the rule for this method
}

// LosingRule is a rule about the method that does not decide.
type LosingRule struct {
	Rule     string          `json:"rule"`
	Mode     config.Mode     `json:"mode"`
	Position config.Position `json:"position"`
	Reason   string          `json:"reason"` // "less specific than arith-mul"
}
