package policies

import (
	"time"

	"github.com/easymicro/easymicro/config"
)

// Explanation says what happens to a call and why.
type Explanation struct {
	Upstream string            `json:"upstream,omitempty"` // of a call that goes out
	Service  string            `json:"service"`
	Method   string            `json:"method"`
	Caller   string            `json:"caller"`
	Peer     string            `json:"peer,omitempty"`
	Revision int               `json:"revision"`
	Kinds    []KindExplanation `json:"kinds"` // in the order in which a server, or a client, asks; only those with rules
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

// RuleState is a rule as it stands.
type RuleState struct {
	Name         string          `json:"name"`
	Description  string          `json:"description,omitempty"`
	Mode         config.Mode     `json:"mode"`
	EnforceShare string          `json:"enforce_share,omitempty"`
	Position     config.Position `json:"position"`
	Expires      *time.Time      `json:"expires,omitempty"`
	Expired      bool            `json:"expired,omitempty"`
	Targets      int             `json:"targets"` // methods that it matches; of those known only once they are called, the ones that were
	Kinds        []KindState     `json:"kinds"`
}

// KindState is one kind of a rule as it stands.
type KindState struct {
	Kind      config.Kind     `json:"kind"`
	Position  config.Position `json:"position"`
	Setting   string          `json:"setting"`
	State     string          `json:"state,omitempty"`
	Decisions Decisions       `json:"decisions"` // for all methods
}

// Decisions are how often a rule decided what.
type Decisions struct {
	Allow        uint64 `json:"allow"`
	Reject       uint64 `json:"reject"`
	Wait         uint64 `json:"wait"`          // allowed after a wait
	ShadowReject uint64 `json:"shadow_reject"` // would have been refused
}

func (d *Decisions) add(o Decisions) {
	d.Allow += o.Allow
	d.Reject += o.Reject
	d.Wait += o.Wait
	d.ShadowReject += o.ShadowReject
}
