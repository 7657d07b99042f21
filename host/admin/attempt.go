package admin

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
)

// What started an attempt.
const (
	SourceStart  = "start"
	SourceFile   = "file"
	SourceSignal = "signal"
	SourceAdmin  = "admin"
	SourceApply  = "apply"
)

// What came of an attempt.
const (
	ResultApplied   = "applied"
	ResultRejected  = "rejected"
	ResultUnchanged = "unchanged"
)

// Attempt is one attempt to change what runs, and its result. Number is the revision in force after it.
type Attempt struct {
	Number   int             `json:"revision"`
	Hash     string          `json:"hash"`
	At       time.Time       `json:"at"`
	Source   string          `json:"source"` // a Source constant
	Who      string          `json:"who,omitempty"`
	Result   string          `json:"result"` // a Result constant
	Took     Seconds         `json:"took_seconds,omitempty"`
	Rules    int             `json:"rules"`
	Error    string          `json:"error,omitempty"`    // reason for the rejection, unless Problems has it
	Problems config.Problems `json:"problems,omitempty"` // why it was rejected
	Changes  Changes         `json:"changes,omitempty"`
	Warnings config.Problems `json:"warnings,omitempty"`
	Files    []config.File   `json:"files,omitempty"`
}

// Seconds is a duration whose JSON is a number of seconds.
type Seconds time.Duration

// MarshalJSON implements json.Marshaler.
func (s Seconds) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(s).Seconds()) }

// UnmarshalJSON implements json.Unmarshaler.
func (s *Seconds) UnmarshalJSON(data []byte) error {
	var n float64
	err := json.Unmarshal(data, &n)
	*s = Seconds(n * float64(time.Second))
	return err
}

// Changes are the changes of an attempt. In JSON, a position is file:line, and text is all of a change in one line.
type Changes config.Changes

// Class returns the strongest class among the changes.
func (c Changes) Class() config.Class { return config.Changes(c).Class() }

// Lines returns one line for each change.
func (c Changes) Lines() []string { return config.Changes(c).Lines() }

// String returns the changes in one line.
func (c Changes) String() string { return config.Changes(c).String() }

// change is the JSON form of a config.Change.
type change struct {
	Subject  string       `json:"subject"`
	Path     string       `json:"path,omitempty"`
	Old      string       `json:"old,omitempty"`
	New      string       `json:"new,omitempty"`
	Class    config.Class `json:"class"`
	Position string       `json:"position,omitempty"`
	Text     string       `json:"text"`
}

// MarshalJSON implements json.Marshaler.
func (c Changes) MarshalJSON() ([]byte, error) {
	var list []change
	for _, x := range c {
		list = append(list, change{x.Subject, x.Path, x.Old, x.New, x.Class, x.Position.String(), x.Text})
	}
	return json.Marshal(list)
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *Changes) UnmarshalJSON(data []byte) error {
	var list []change
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	*c = make(Changes, len(list))
	for i, x := range list {
		at := config.Position{File: x.Position}
		if colon := strings.LastIndexByte(x.Position, ':'); colon >= 0 {
			if n, err := strconv.Atoi(x.Position[colon+1:]); err == nil {
				at = config.Position{File: x.Position[:colon], Line: n}
			}
		}
		(*c)[i] = config.Change{Subject: x.Subject, Path: x.Path, Old: x.Old, New: x.New, Text: x.Text, Class: x.Class, Position: at}
	}
	return nil
}
