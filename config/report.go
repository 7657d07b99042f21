package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// report collects the problems of one set, and bounds errors and warnings separately so that neither hides the
// other.
type report struct {
	m        *Manifest
	dir      string // its directory
	rules    []Rule
	tokens   []Token
	now      time.Time
	problems Problems
	settled  int // problems whose Warning no longer changes
	errors   int
	warnings int
}

func (c *report) sorted() Problems {
	c.settle()
	return c.problems.Sort()
}

// manifest reports a problem of the manifest at path.
func (c *report) manifest(path, format string, args ...any) *Problem {
	return c.add(c.m.Position(path), path, fmt.Sprintf(format, args...))
}

// rule reports a problem of a rule at a path inside the rule.
func (c *report) rule(r *Rule, path, format string, args ...any) *Problem {
	return c.add(r.Position(path), join(r.path, path), fmt.Sprintf(format, args...))
}

func (c *report) add(at Position, path, message string) *Problem {
	c.settle()
	c.problems = append(c.problems, at.Problem(path, message))
	return &c.problems[len(c.problems)-1]
}

// settle counts the last problem, which its checker may have made a warning since, and drops it when there are too
// many.
func (c *report) settle() {
	if c.settled == len(c.problems) {
		return
	}
	last := &c.problems[c.settled]
	count := &c.errors
	if last.Warning {
		count = &c.warnings
	}
	*count++
	switch {
	case *count > maxProblems+1:
		c.problems = c.problems[:c.settled]
		return
	case *count > maxProblems && !last.Warning:
		last.Path, last.Message, last.Suggestion = "", restNotShown, ""
	}
	c.settled++
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
		c.manifest(path, "this manifest has no discovery.etcd")
		return
	}
	c.manifest(path, "discovery.etcd has no entry named %s", clip(name)).Suggestion = Suggest(name, known)
}

// printable reports whether text has at most limit bytes, all of them fit for logs and screens.
func printable(text string, limit int) bool {
	return len(text) <= limit && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// idle reports whether a rule is off or expired.
func (c *report) idle(r *Rule) bool { return r.Mode == Off || r.Expired(c.now) }
