// Package config holds what a host is told: the types of the manifest, of the rules and of the tokens, how they are
// decoded from YAML, what makes them valid, and how two sets of them differ.
//
// The struct tags of the types are the single source: yaml is the key; default, min, max, enum and required say what
// is accepted; reload is the class of a change (inherited by what lies inside); later marks what is parsed and, when
// written, refused as not supported yet; doc is the sentence of the reference.
package config

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"
)

// Set is the manifest and all that belongs to it, read, checked and applied as a whole. It is not changed once made.
type Set struct {
	Manifest *Manifest
	Rules    []Rule // of the manifest, then of the files in name order
	Tokens   []Token
	Files    []File // all that was read, in name order
	Hash     string // of paths and contents
	Contents Contents
	Dir      string                           // the manifest's folder: relative paths start there
	Env      func(name string) (string, bool) // looks up ${VAR} in files that are read later; nil is the environment
	Warnings Problems

	// Fallback says what stands in for the files that are wrong, Rejected what is wrong with them, and Desired which files
	// the set would have had; empty when the set is what the files say.
	Fallback string
	Rejected Problems
	Desired  []File

	checked *Set // itself once it is
}

// File is one file of a set.
type File struct {
	Path string `json:"path"` // as shown: relative to the manifest's folder
	Hash string `json:"hash"`
}

// Validate finds what can be known to be wrong without the registry: names that stand twice, references to nothing,
// fields that contradict each other, values that only make sense together.
func (s *Set) Validate() Problems {
	return validate(&report{m: s.Manifest, dir: s.Dir, rules: s.Rules, tokens: s.Tokens, now: time.Now()})
}

// Check adds what Validate finds to what is known to be wrong already, and returns all. If no error is among it, the
// warnings become those of the set, and the set is Checked.
func (s *Set) Check(known Problems) Problems {
	problems := known.With(s.Validate())
	if problems.Err() == nil {
		s.Warnings, s.checked = problems.Warnings(), s
	}
	return problems
}

// Checked reports whether Check found no error in this very set; a copy of it may be changed, and is not checked.
func (s *Set) Checked() bool { return s.checked == s }

// ProblemAt returns what is wrong with one field of the manifest, with its position.
func (s *Set) ProblemAt(path, message string) Problems {
	at := s.Manifest.Position(path)
	return Problems{{File: at.File, Line: at.Line, Column: at.Column, Path: path, Message: message}}
}

// Path is a path of the manifest made independent of the current folder.
func (s *Set) Path(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.Dir, path)
}

// Contents is what the files have that the manifest names for certificates, keys and passwords, by their path as
// written. They belong to the set: they are read together with it, and a change of one is a change of the set.
type Contents map[string][]byte

// String tells how many files there are, never what is in them.
func (c Contents) String() string { return fmt.Sprintf("%d files", len(c)) }

// GoString is String.
func (c Contents) GoString() string { return c.String() }

// LogValue is String.
func (c Contents) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Expiries returns the ends of rules that are not off and of tokens, the soonest first.
func (s *Set) Expiries() []Expiry {
	var list []Expiry
	for i := range s.Rules {
		if r := &s.Rules[i]; !r.Expires.IsZero() && r.Mode != Off {
			list = append(list, r.expiry())
		}
	}
	for i := range s.Tokens {
		if t := &s.Tokens[i]; !t.Expires.IsZero() {
			list = append(list, t.expiry())
		}
	}
	slices.SortStableFunc(list, func(a, b Expiry) int { return a.At.Compare(b.At) })
	return list
}
