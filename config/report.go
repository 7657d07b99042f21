package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/easymicro/easymicro/config/lint"
)

// report collects the problems of one set, and bounds errors and warnings separately so that neither hides the
// other.
type report struct {
	m         *Manifest
	dir       string // its directory
	rules     []Rule
	tokens    []Token
	operators []AdminToken
	texts     map[string][]byte // of the files by path as shown
	now       time.Time
	anyClaim  bool // callers may have any claim
	problems  Problems
	errors    int
	warnings  int
}

func (c *report) sorted() Problems { return c.problems.Sort() }

// manifest reports a problem of the manifest at path.
func (c *report) manifest(as lint.Code, path, format string, args ...any) *Problem {
	return c.add(as, c.m.Position(path), path, fmt.Sprintf(format, args...))
}

// rule reports a problem of a rule at a path inside the rule.
func (c *report) rule(as lint.Code, r *Rule, path, format string, args ...any) *Problem {
	return c.add(as, r.Position(path), join(r.path, path), fmt.Sprintf(format, args...))
}

// add reports a problem, unless there are too many. The result takes a suggestion.
func (c *report) add(as lint.Code, at Position, path, message string) *Problem {
	p := at.Problem(path, message).Coded(as)
	count := &c.errors
	if p.Warning {
		count = &c.warnings
	}
	*count++
	switch {
	case *count > maxProblems+1, *count > maxProblems && p.Warning:
		return new(Problem)
	case *count > maxProblems:
		p = Problem{File: p.File, Line: p.Line, Column: p.Column, Message: restNotShown}.Coded(as)
	}
	c.problems = append(c.problems, p)
	return &c.problems[len(c.problems)-1]
}

// names finds duplicate names.
type names struct{ first map[string]Position }

// taken returns where the name was first used, or records this use.
func (n *names) taken(name string, at Position) (first Position, taken bool) {
	if n.first == nil {
		n.first = map[string]Position{}
	}
	if first, taken := n.first[name]; taken {
		return first, true
	}
	n.first[name] = at
	return Position{}, false
}

// called returns the upstreams that a client-side rule applies to, with their paths.
func (c *report) called(r *Rule) (list []*Upstream, paths []string) {
	for i := range c.m.Upstreams {
		u := &c.m.Upstreams[i]
		if r.Match.Upstream.match(u.Name) && !r.Match.Except.ofUpstream(u.Name) {
			list, paths = append(list, u), append(paths, fmt.Sprintf("upstreams[%d]", i))
		}
	}
	return list, paths
}

// knownCluster checks a reference to an entry of discovery.etcd.
func (c *report) knownCluster(path, name string) {
	var known []string
	if d := c.m.Discovery; d != nil {
		for i := range d.Etcd {
			known = append(known, d.Etcd[i].Name)
		}
	}
	if slices.Contains(known, name) {
		return
	}
	if len(known) == 0 {
		c.manifest(lint.NoSuchName, path, "this manifest has no discovery.etcd")
		return
	}
	c.manifest(lint.NoSuchName, path, "discovery.etcd has no entry named %s", clip(name)).Suggestion = Suggest(name, known)
}

// printable reports whether text has at most limit bytes, all of them fit for logs and screens.
func printable(text string, limit int) bool {
	return len(text) <= limit && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// idle reports whether a rule is off or expired.
func (c *report) idle(r *Rule) bool { return r.Mode == Off || r.Expired(c.now) }
