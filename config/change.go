package config

import (
	"fmt"
	"strings"
)

// Change is a difference between two sets.
type Change struct {
	Subject  string   `json:"subject"`        // the rule, service or listener by name; or a block of the manifest
	Path     string   `json:"path,omitempty"` // inside the subject; empty when the subject itself was added or removed
	Old      string   `json:"old,omitempty"`
	New      string   `json:"new,omitempty"`
	Text     string   `json:"text"` // for display, without subject and position: "rateLimit.rate 500 → 1"
	Class    Class    `json:"class"`
	Position Position `json:"position,omitzero"` // in the new set, or in the old one if the subject was removed
}

// maxChanges bounds the changes in a short list.
const maxChanges = 100

// Changes lists the changes of the manifest in its order, then those of the rules in the order of the new set, then
// removals.
type Changes []Change

// Class returns the strongest class among the changes; Live if there are none.
func (c Changes) Class() Class {
	strongest := Live
	for _, change := range c {
		if change.Class.weight() > strongest.weight() {
			strongest = change.Class
		}
	}
	return strongest
}

// Pending returns the changes that need a restart.
func (c Changes) Pending() Changes {
	var pending Changes
	for _, change := range c {
		if change.Class == Restart {
			pending = append(pending, change)
		}
	}
	return pending
}

// String returns all lines as one.
func (c Changes) String() string { return strings.Join(c.Lines(), "; ") }

// Lines returns one line for each subject: "arith-mul: rateLimit.rate 500 → 1, burst 1000 → 1 (policies.yaml:4)".
func (c Changes) Lines() []string {
	var lines []string
	for i := 0; i < len(c); {
		first, end := c[i], i+1
		texts := []string{first.Text}
		for ; end < len(c) && first.joins(c[end]); end++ {
			texts = append(texts, withoutParent(c[end-1].Path, c[end]))
		}
		line := strings.Join(texts, ", ")
		if first.Path != "" && first.Subject != "" {
			line = first.Subject + ": " + line
		}
		if !first.Position.IsZero() {
			line += " (" + first.Position.String() + ")"
		}
		lines = append(lines, line)
		i = end
	}
	return lines
}

// joins reports whether two changes share a line: they have one subject, or else one block of the manifest.
func (c Change) joins(next Change) bool {
	if c.Path == "" || next.Path == "" || c.Subject != next.Subject {
		return false
	}
	block := func(path string) string { return strings.SplitN(path, ".", 2)[0] }
	return c.Subject != "" || block(c.Path) == block(next.Path)
}

// withoutParent returns the text of a change without the block that the previous change already names.
func withoutParent(before string, c Change) string {
	if p := parent(c.Path); p != "" && p == parent(before) {
		return strings.TrimPrefix(c.Text, p+".")
	}
	return c.Text
}

// Few returns the changes, shortened if there are many.
func (c Changes) Few() Changes {
	if len(c) <= maxChanges+1 {
		return c
	}
	more := Change{Text: fmt.Sprintf("and %d more changes", len(c)-maxChanges), Class: c[maxChanges:].Class()}
	return append(c[:maxChanges:maxChanges], more)
}
