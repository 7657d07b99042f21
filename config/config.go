// Package config defines the manifest, rules and tokens of a host: it decodes them from YAML, validates them, and
// compares two sets of them.
//
// Struct tags are the single source: yaml is the key; default, min, max, enum and required define the accepted values;
// reload is the class of a change, inherited by nested fields; later marks fields that are parsed and rejected as not
// supported yet; effect says what a larger value does to calls (more: lets more of them through, less: lets fewer through,
// neutral: neither), and is inherited, too; doc is the text of the reference.
package config

import (
	"cmp"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config/lint"
)

// Set is a manifest with everything that belongs to it, loaded, checked and applied as a unit. It is immutable.
type Set struct {
	Manifest  *Manifest
	Rules     []Rule // those of the manifest first, then those of the files in name order
	Tokens    []Token
	Operators []AdminToken // of admin.tokens.file
	Files     []File       // everything that was read, in name order
	Hash      string       // of paths and contents
	Contents  Contents
	Dir       string                           // the manifest's directory, the base of relative paths
	Env       func(name string) (string, bool) // looks up ${VAR} in files read later; nil is the environment
	Warnings  Problems

	Texts map[string][]byte // contents of Files by hash; nil if the set was not loaded from files

	// Fallback names what replaces invalid files, Rejected holds their problems, Desired the files that the set would have
	// had, and Replaces their hash. They are empty when the set is made of the files themselves.
	Fallback string
	Rejected Problems
	Desired  []File
	Replaces string

	checked *Set // the set itself once it is checked
	plain   *Set // without overrides; nil: there are none
}

// File is one file of a set.
type File struct {
	Path string `json:"path"` // as shown: relative to the manifest's directory
	Hash string `json:"hash"`
}

// Validate finds every problem that shows without the registry: duplicate names, dangling references, and fields
// that contradict or need each other.
func (s *Set) Validate() Problems {
	return validate(&report{m: s.Manifest, dir: s.Dir, rules: s.Rules, tokens: s.Tokens, operators: s.Operators, texts: s.TextsByPath(), now: time.Now()})
}

// Check adds the problems that Validate finds to the known ones and returns all of them. If none is an error, the
// set keeps the warnings and is Checked.
func (s *Set) Check(known Problems) Problems {
	problems := known.With(s.Validate())
	if problems.Err() == nil {
		s.Warnings, s.checked = problems.Warnings(), s
	}
	return problems
}

// Checked reports whether Check found no error in this very set. A copy may be changed, so it is not checked.
func (s *Set) Checked() bool { return s.checked == s }

// ProblemAt returns a problem of one field of the manifest, with its position.
func (s *Set) ProblemAt(path, message string) Problems {
	return Problems{s.Manifest.Position(path).Problem(path, message)}
}

// TextsByPath returns the contents of the files by path as shown; nil if they are not known.
func (s *Set) TextsByPath() map[string][]byte {
	texts := make(map[string][]byte, len(s.Files))
	for _, f := range s.Files {
		text, ok := s.Texts[f.Hash]
		if !ok {
			return nil
		}
		texts[f.Path] = text
	}
	return texts
}

// PolicyFiles returns the paths of the policy files as shown.
func (s *Set) PolicyFiles() []string {
	var list []string
	for _, f := range s.Files[min(1, len(s.Files)):] { // the first is the manifest
		if t := s.Manifest.Auth.Tokens; t == nil || t.File != f.Path {
			list = append(list, f.Path)
		}
	}
	return list
}

// Path resolves a path of the manifest against the manifest's directory.
func (s *Set) Path(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.Dir, path)
}

// DesiredHash returns the hash of the content of the files, whether or not the set is made of them.
func (s *Set) DesiredHash() string { return cmp.Or(s.Replaces, s.Hash) }

// Plain returns the set without overrides.
func (s *Set) Plain() *Set {
	if s.plain != nil {
		return s.plain
	}
	return s
}

// Overridden returns a checked copy of a set with other rules: each takes the place of the rule of its name, or is added. The files
// and the hash stay the same. Plain returns s.
func (s *Set) Overridden(rules []Rule) (*Set, Problems) {
	c := *s
	c.plain, c.Rules = s, slices.Clone(s.Rules)
	for _, r := range rules {
		if i := slices.IndexFunc(c.Rules, func(known Rule) bool { return known.Name == r.Name }); i >= 0 {
			c.Rules[i] = r
		} else {
			c.Rules = append(c.Rules, r)
		}
	}
	found := c.Validate()
	for _, w := range found.Warnings() {
		if !slices.Contains(c.Warnings, w) {
			c.Warnings = append(slices.Clip(c.Warnings), w)
		}
	}
	c.checked = &c
	return &c, found.Errors()
}

// Rule returns the rule of a name; nil if there is none.
func (s *Set) Rule(name string) *Rule {
	for i := range s.Rules {
		if s.Rules[i].Name == name {
			return &s.Rules[i]
		}
	}
	return nil
}

// Contents holds the certificates, keys and passwords that the manifest names, by path as written. They are part of
// the set: they are read with it, and a change of one changes the set.
type Contents map[string][]byte

// String returns the number of files, never their content.
func (c Contents) String() string { return fmt.Sprintf("%d files", len(c)) }

// GoString returns String.
func (c Contents) GoString() string { return c.String() }

// LogValue returns String.
func (c Contents) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Expiries returns when rules that are not off, tokens and certificates expire, the earliest first.
func (s *Set) Expiries() []Expiry {
	var list []Expiry
	for i := range s.Rules {
		if r := &s.Rules[i]; !r.Expires.IsZero() && r.Mode != Off {
			list = append(list, r.expiry())
		}
	}
	for _, t := range append(entries(s.Tokens), entries(s.Operators)...) {
		if !t.expiry.At.IsZero() {
			list = append(list, t.expiry)
		}
	}
	list = append(list, s.certificateExpiries()...)
	slices.SortStableFunc(list, func(a, b Expiry) int { return a.At.Compare(b.At) })
	return list
}

// certificateExpiries returns when the certificates of listeners, upstreams and clusters expire.
func (s *Set) certificateExpiries() []Expiry {
	var list []Expiry
	if s.Manifest == nil {
		return nil
	}
	for _, f := range s.Manifest.NamedFiles() {
		if !strings.HasSuffix(f.Field, ".certFile") {
			continue
		}
		if leaf := firstCertificate(s.Contents[f.Path]); leaf != nil {
			list = append(list, Expiry{Certificate: f.Path, At: leaf.NotAfter, Position: s.Manifest.Position(f.Field)})
		}
	}
	return list
}

// WarnCertificates returns warnings about certificates that have expired, or will within 14 days.
func (s *Set) WarnCertificates(now time.Time) Problems {
	var warnings Problems
	for _, e := range s.certificateExpiries() {
		as := lint.ExpiresSoon
		message, warns := e.soon(now)
		if !now.Before(e.At) {
			message, warns, as = fmt.Sprintf("expired on %s: %s, renew it", e.At.Format(time.RFC3339), e.Effect()), true, lint.Expired
		}
		if warns {
			warnings = append(warnings, e.Position.Problem("", e.Certificate+" "+message).Coded(as))
		}
	}
	return warnings
}
