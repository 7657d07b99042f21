package config

import (
	"fmt"
	"slices"
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
	Op       Op       `json:"op"`
	Effect   Effect   `json:"effect"`
	Position Position `json:"position,omitzero"` // in the new set, or in the old one if the subject was removed
}

// OfContent reports whether the change is to the content of a file that the manifest names, such as a certificate.
func (c *Change) OfContent() bool { return c.Op == OpChange && c.Path == "" }

// Op is the kind of a change, written as its sign in lists.
type Op string

// The kinds of changes.
const (
	OpAdd    Op = "+"
	OpRemove Op = "-"
	OpChange Op = "~"
)

// maxChanges bounds the changes in a short list.
const maxChanges = 100

// Changes lists the changes of the manifest in its order, then those of the rules in the order of the new set, then
// removals.
type Changes []Change

// Subjects returns the subjects of the changes.
func (c Changes) Subjects() map[string]bool {
	subjects := make(map[string]bool, len(c))
	for i := range c {
		subjects[c[i].Subject] = true
	}
	return subjects
}

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

// Neutral reports whether no change can refuse or fail a call.
func (c Changes) Neutral() bool {
	return !slices.ContainsFunc(c, func(change Change) bool { return change.Effect != Neutral })
}

// Signed returns one line for each change, after its signs: + added, - removed, ~ changed, and < wider, > tighter. A
// class other than Live ends the line: "~ < arith-mul: rateLimit.rate 500 → 900 (policies.yaml:4)".
func (c Changes) Signed() []string {
	var lines []string
	for i := range c {
		line := string(c[i].Op) + " " + c[i].Effect.Sign() + " " + c[i : i+1].Lines()[0]
		if c[i].Class != Live {
			line += ", " + string(c[i].Class)
		}
		lines = append(lines, line)
	}
	return lines
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

// effect returns the effect that all changes have in common, or else Changed.
func (c Changes) effect() Effect {
	first := c[0].Effect
	if slices.ContainsFunc(c, func(change Change) bool { return change.Effect != first }) {
		return Changed
	}
	return first
}

// Few returns the changes, shortened if there are many.
func (c Changes) Few() Changes {
	if len(c) <= maxChanges+1 {
		return c
	}
	more := Change{Text: fmt.Sprintf("and %d more changes", len(c)-maxChanges), Class: c[maxChanges:].Class(), Op: OpChange, Effect: c[maxChanges:].effect()}
	return append(c[:maxChanges:maxChanges], more)
}
