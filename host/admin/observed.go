package admin

import "time"

// Observed is an edit that autoRollback may still undo.
type Observed struct {
	Revision     int       `json:"revision"`
	Baseline     int       `json:"baseline"` // the revision to which it is rolled back
	Since        time.Time `json:"since"`
	Until        time.Time `json:"until"`         // if there are enough calls by then
	Calls        uint64    `json:"calls"`         // that the baseline lets through
	NewlyRefused uint64    `json:"newly_refused"` // of these
	Intended     uint64    `json:"intended"`      // refused calls that do not count: by rules for that very caller, or with autoRollback: off
	MinRequests  int       `json:"min_requests"`
	Forced       bool      `json:"forced,omitempty"` // it is not undone
}
