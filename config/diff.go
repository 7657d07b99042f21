package config

import "strings"

// Change is one difference between two sets.
type Change struct {
	Subject  string   `json:"subject"`        // the rule, service or listener by name; or a block of the manifest
	Path     string   `json:"path,omitempty"` // inside the subject; empty when the subject itself was added or removed
	Old      string   `json:"old,omitempty"`
	New      string   `json:"new,omitempty"`
	Text     string   `json:"text"` // in words, without place: "rateLimit.rate 500 → 1"
	Class    Class    `json:"class"`
	Position Position `json:"position,omitzero"` // in the new set; in the old one for what was removed
}

// Changes are the differences, in the order of the new set.
type Changes []Change

// Class is the strongest class among the changes; Live when there are none.
func (c Changes) Class() Class {
	strongest := Live
	for _, change := range c {
		if change.Class.weight() > strongest.weight() {
			strongest = change.Class
		}
	}
	return strongest
}

// String is the one-line form: "arith-mul: rateLimit.rate 500 → 1, burst 1000 → 1 (policies.yaml:4)".
func (c Changes) String() string { return strings.Join(c.Lines(), "; ") }

// Lines has one line for each subject.
func (c Changes) Lines() []string { return nil }

// Diff tells how the meaning of next differs from that of old. Order, comments and spelling do not count, secrets are
// never shown.
func Diff(old, next *Set) Changes { return nil }
