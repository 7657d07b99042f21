package policies

import (
	"time"

	"github.com/easymicro/easymicro/config"
)

// Decisions are how often a rule decided what.
type Decisions struct {
	Allow        uint64 `json:"allow"`
	Reject       uint64 `json:"reject"`
	Wait         uint64 `json:"wait"`          // allowed after a wait
	ShadowReject uint64 `json:"shadow_reject"` // would have been refused
}

// LimiterStats is the state of a rule's rate limiter.
type LimiterStats struct {
	Rule      string  `json:"rule"`
	Keyed     bool    `json:"keyed"`
	Tokens    float64 `json:"tokens"` // not keyed: left in the bucket; negative while calls wait
	Burst     int64   `json:"burst"`
	Keys      int     `json:"keys"` // keyed: buckets kept
	Evictions uint64  `json:"evictions"`
}

// BreakerStats is the state of one circuit breaker.
type BreakerStats struct {
	Rule        string            `json:"rule"`
	Target      string            `json:"target"` // Service/Method
	State       string            `json:"state"`  // closed, half_open or open
	Since       time.Time         `json:"since"`
	Cause       string            `json:"cause,omitempty"` // of the last opening
	Transitions map[string]uint64 `json:"transitions"`     // by the state it came to
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
	Targets      int             `json:"targets"` // methods that it matches
	Kinds        []KindState     `json:"kinds"`
}

// KindState is one kind of a rule as it stands.
type KindState struct {
	Kind      config.Kind     `json:"kind"`
	Position  config.Position `json:"position"`
	Setting   string          `json:"setting"`
	State     string          `json:"state,omitempty"`
	Decisions Decisions       `json:"decisions"`
}
