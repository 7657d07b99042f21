package config

import (
	"fmt"
	"strings"
	"time"
)

// MaxRules is how many rules a set may have.
const MaxRules = 20_000

// Validate finds what can be known to be wrong without the registry: names that stand twice, references to nothing,
// fields that contradict each other, values that only make sense together.
func (s *Set) Validate() Problems {
	c := &checker{set: s, now: time.Now()}
	c.listeners()
	c.addresses()
	c.metrics()
	c.traces()
	c.operators()
	c.auth()
	c.services()
	c.upstreams()
	c.discovery()
	c.gateway()
	c.policies()
	c.rules()
	c.pairs()
	c.peers()
	c.tokens()
	c.settle()
	return c.problems.Sort()
}

// checker collects the problems of one set: of errors and of warnings the first few hundred, so that neither hides the other.
type checker struct {
	set      *Set
	now      time.Time
	problems Problems
	settled  int // of the problems, that are errors or warnings for good
	errors   int
	warnings int

	callerNames *callerNames // once they are asked for
}

// manifest reports a problem of the manifest, at the value of path.
func (c *checker) manifest(path, format string, args ...any) *Problem {
	return c.add(c.set.Manifest.Position(path), path, fmt.Sprintf(format, args...))
}

// rule reports a problem of a rule, at the value of a path inside it.
func (c *checker) rule(r *Rule, path, format string, args ...any) *Problem {
	return c.add(r.Position(path), join(r.path, path), fmt.Sprintf(format, args...))
}

func (c *checker) add(at Position, path, message string) *Problem {
	c.settle()
	c.problems = append(c.problems, Problem{File: at.File, Line: at.Line, Column: at.Column, Path: path, Message: message})
	return &c.problems[len(c.problems)-1]
}

// settle counts the problem that was added last, which whoever added it may have made a warning since, and drops it when
// there are many like it.
func (c *checker) settle() {
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

func (c *checker) policies() {
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

func (c *checker) tokens() {
	var seen names
	for i, t := range c.set.Tokens {
		path := fmt.Sprintf("[%d]", i)
		if first, taken := seen.taken(strings.ToLower(t.SHA256), t.position); taken {
			c.add(t.position, path, "the same token stands in "+first.String()+" too")
		}
		if !t.Expires.IsZero() && t.Expires.Before(c.now) {
			c.add(t.position, path, t.String()+" expired on "+t.Expires.Format(time.RFC3339)).Warning = true
		}
		if message, soon := t.expiry().soon(c.now); soon {
			c.add(t.position, path, t.String()+" "+message).Warning = true
		}
	}
}
