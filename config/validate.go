package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
)

// MaxRules is how many rules a set may have.
const MaxRules = 20_000

func validate(s *Set) Problems {
	r := newReport(s)
	listenerChecker{r}.check()
	serviceChecker{r}.check()
	upstreamChecker{r}.check()
	gatewayChecker{r}.check()
	fileChecker{r}.check()
	checkRules(r)
	return r.sorted()
}

// validateRules is Validate for rules that stand alone. Whoever checks callers has told the program already, so that no
// caller is unlikely.
func validateRules(rules []Rule) Problems {
	r := newReport(&Set{Manifest: &Manifest{Auth: Auth{Identify: []string{"token"}}}, Rules: rules})
	checkRules(r)
	return r.sorted()
}

// report collects the problems of one set: of errors and of warnings the first few hundred, so that neither hides the other.
type report struct {
	set      *Set
	now      time.Time
	problems Problems
	settled  int // of the problems, that are errors or warnings for good
	errors   int
	warnings int
}

func newReport(s *Set) *report { return &report{set: s, now: time.Now()} }

func (c *report) sorted() Problems {
	c.settle()
	return c.problems.Sort()
}

// manifest reports a problem of the manifest, at the value of path.
func (c *report) manifest(path, format string, args ...any) *Problem {
	return c.add(c.set.Manifest.Position(path), path, fmt.Sprintf(format, args...))
}

// rule reports a problem of a rule, at the value of a path inside it.
func (c *report) rule(r *Rule, path, format string, args ...any) *Problem {
	return c.add(r.Position(path), join(r.path, path), fmt.Sprintf(format, args...))
}

func (c *report) add(at Position, path, message string) *Problem {
	c.settle()
	c.problems = append(c.problems, Problem{File: at.File, Line: at.Line, Column: at.Column, Path: path, Message: message})
	return &c.problems[len(c.problems)-1]
}

// settle counts the problem that was added last, which whoever added it may have made a warning since, and drops it when
// there are many like it.
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

// names finds what has the same name twice.
type names struct{ first map[string]Position }

// taken is where the name was used first, if it was; otherwise it is used now.
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

// fileChecker checks the names and the contents of the files that belong to a set.
type fileChecker struct{ *report }

func (c fileChecker) check() {
	c.policies()
	c.tokens()
}

func (c fileChecker) policies() {
	p := &c.set.Manifest.Policies
	c.globs("policies.files", p.Files)
	c.globs("policies.fallback", p.Fallback)
	if p.Watch.MaxDelay < p.Watch.Debounce {
		c.manifest("policies.watch.maxDelay", "%s is shorter than debounce (%s)", p.Watch.MaxDelay, p.Watch.Debounce)
	}
	if d := c.set.Manifest.Host.Shutdown; d.DrainDelay != nil && *d.DrainDelay > d.GracePeriod {
		c.manifest("host.shutdown.drainDelay", "%s is longer than gracePeriod (%s), which includes it", *d.DrainDelay, d.GracePeriod)
	}
}

func (c fileChecker) tokens() {
	var seen names
	for i, t := range c.set.Tokens {
		path := fmt.Sprintf("[%d]", i)
		if first, taken := seen.taken(strings.ToLower(t.SHA256), t.position); taken {
			c.add(t.position, path, "the same token is in "+first.String()+" too")
		}
		if !t.Expires.IsZero() && t.Expires.Before(c.now) {
			c.add(t.position, path, t.String()+" expired on "+t.Expires.Format(time.RFC3339)).Warning = true
		}
		if message, soon := t.expiry().soon(c.now); soon {
			c.add(t.position, path, t.String()+" "+message).Warning = true
		}
	}
}

// called are the upstreams of the manifest that a client-side rule is about.
func (c *report) called(r *Rule) (list []*Upstream, places []string) {
	for i := range c.set.Manifest.Upstreams {
		u := &c.set.Manifest.Upstreams[i]
		if r.Match.Upstream.match(u.Name) && !r.Match.Except.ofUpstream(u.Name) {
			list, places = append(list, u), append(places, fmt.Sprintf("upstreams[%d]", i))
		}
	}
	return list, places
}

// knownCluster checks a reference to an entry of discovery.etcd.
func (c *report) knownCluster(path, name string) {
	var known []string
	if d := c.set.Manifest.Discovery; d != nil {
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

func (c fileChecker) globs(path string, globs []string) {
	for i, glob := range globs {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch _, err := filepath.Match(glob, "x"); {
		case glob == "":
			c.manifest(at, "is empty")
		case err != nil:
			c.manifest(at, "%q is not a valid glob: a [ is not closed", clip(glob))
		case strings.Contains(glob, "**"):
			c.manifest(at, "** is not supported: * matches within one directory; list the directories one by one")
		}
	}
}

// printable tells that text is fit for logs and screens, and not longer than most bytes.
func printable(text string, most int) bool {
	return len(text) <= most && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// idle reports whether a rule takes no part.
func (c *report) idle(r *Rule) bool { return r.Mode == Off || r.Expired(c.now) }
