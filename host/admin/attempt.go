package admin

import (
	"regexp"
	"time"

	"github.com/easymicro/easymicro/config"
)

// Sources of attempts.
const (
	SourceStart  = "start"
	SourceFile   = "file"
	SourceSignal = "signal"
	SourceAdmin  = "admin"
	SourceApply  = "apply"

	SourceRollback     = "rollback"
	SourceAutoRollback = "autoRollback"
)

// Results of attempts.
const (
	ResultApplied   = "applied"
	ResultRejected  = "rejected"
	ResultUnchanged = "unchanged"

	ResultRolledBack = "rolledBack" // it was applied, and undone by autoRollback
	ResultHeld       = "held"       // the files were not applied: they were rolled back or replaced by a command, or the process died under them
)

// Verdicts on revisions that were in force for a while.
const (
	VerdictKept = "kept"
)

// Attempt is one attempt to change what runs, and its result. Number is the revision in force after it.
type Attempt struct {
	Number   int             `json:"revision"`
	Hash     string          `json:"hash"`
	At       time.Time       `json:"at"`
	Since    time.Time       `json:"since,omitzero"`  // of the first of several equal rejected attempts in a row
	Times    int             `json:"times,omitempty"` // how many they are; 0: one
	Source   string          `json:"source"`          // a Source constant
	Who      string          `json:"who,omitempty"`
	Why      string          `json:"why,omitempty"`       // reason for the attempt, or for its result
	Result   string          `json:"result"`              // a Result constant
	Verdict  string          `json:"verdict,omitempty"`   // of autoRollback: kept, no evidence (41 of 100 calls), or the evidence; empty until then
	Pinned   string          `json:"pinned_to,omitempty"` // hash of the files that the revision overrides: it stays while they have that hash
	RevertAt time.Time       `json:"revert_at,omitzero"`  // when the host goes back to the revision before, unless this one is confirmed
	Took     Seconds         `json:"took_seconds,omitempty"`
	Rules    int             `json:"rules"`
	Error    string          `json:"error,omitempty"`    // reason for the rejection, unless Problems has it
	Problems config.Problems `json:"problems,omitempty"` // reasons for the rejection
	Changes  Changes         `json:"changes,omitempty"`
	Forecast *Forecast       `json:"forecast,omitempty"` // nil: the changes cannot refuse a call
	Warnings config.Problems `json:"warnings,omitempty"`
	Files    []config.File   `json:"files,omitempty"`
}

// MadeRevision reports whether the attempt put a revision in force that has not been undone: an applied one has, and a start whose
// files are held, with what runs in their place.
func (a *Attempt) MadeRevision() bool {
	return a.Result == ResultApplied || a.Result == ResultHeld && a.Source == SourceStart
}

// IsTold reports whether the attempt is logged: of equal ones in a row, the first, the second, the fourth and so on are.
func (a *Attempt) IsTold() bool { return a.Times&(a.Times-1) == 0 }

// FileText is a file of a revision with its text, in which "…" replaces the hashes of tokens.
type FileText struct {
	config.File
	Text string `json:"text"`
}

// tokenHash matches the SHA-256 of a token, which would reveal a token that can be guessed.
var tokenHash = regexp.MustCompile(`\b[0-9A-Fa-f]{64}\b`)

// TextOf returns a file with its text.
func TextOf(f config.File, text []byte) FileText {
	return FileText{File: f, Text: tokenHash.ReplaceAllString(string(text), "…")}
}
