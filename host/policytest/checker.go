package policytest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
)

// checker checks the methods, endpoints and rules that a file of policy tests names.
type checker struct {
	*suite
	test     *config.PolicyTest
	problems config.Problems
}

func (c *checker) add(path, suggestion, format string, args ...any) {
	p := c.test.Position(path).Problem(path, fmt.Sprintf(format, args...))
	p.Suggestion = suggestion
	c.problems = append(c.problems, p)
}

func (c *checker) check() config.Problems {
	for i := range c.test.Cases {
		t, path := &c.test.Cases[i], fmt.Sprintf("cases[%d]", i)
		if t.Assume != "" {
			for _, tie := range policies.ValidateTies(c.rules.assuming(t.Assume)) {
				c.add(path+".assume", "", "rules tie once they are enforced: %s", tie)
			}
		}
		if t.Expect.NobodyNew && c.against == nil {
			c.add(path+".expect.nobody_new", "", "needs an older set: against: OLD/easymicro.yaml in this file, or --against")
		}
		c.outcome(path+".expect", &t.Expect.TestOutcome)
		for j := range t.Calls {
			c.step(c.test.StepPath(i, j), &t.Calls[j])
		}
	}
	return c.problems
}

func (c *checker) step(path string, s *config.TestStep) {
	to, err := c.rules.resolve(s.To)
	if err != nil {
		c.add(path+".to", config.Suggest(s.To, c.rules.callable()), "%s", err)
		return
	}
	c.claims(path+".identity", s, to)
	for k := range s.Handler {
		name, at := s.Handler[k].Endpoint, c.test.ScriptPath(path, k)+".endpoint"
		switch {
		case name == "" || slices.Contains(to.endpoints, name):
		case to.upstream == nil:
			c.add(at, "", "is for calls to an upstream")
		default:
			c.add(at, config.Suggest(name, to.endpoints), "%s has no endpoint %q; it has %s",
				to.upstream.Name, name, strings.Join(to.endpoints, ", "))
		}
	}
	if s.Expect != nil {
		c.outcome(path+".expect", s.Expect)
	}
}

// claims checks the claims of the caller of a step.
func (c *checker) claims(path string, s *config.TestStep, to destination) {
	known := c.rules.set.Manifest.Auth.ClaimNames()
	for _, name := range slices.Sorted(maps.Keys(s.Identity)) {
		switch at := path + "." + name; {
		case to.upstream != nil:
			c.add(at, "", "is for calls to this host: rules for calls to an upstream match no claims")
		case s.Caller == "" || s.Caller == policies.Anonymous:
			c.add(at, "", "anonymous callers have no claims: add caller")
		case !slices.Contains(known, name):
			c.add(at, "", "auth.jwt.claims of the manifest names no claim %q; it names %s", name, cmp.Or(strings.Join(known, ", "), "none"))
		}
	}
}

// outcome checks the names of rules.
func (c *checker) outcome(path string, o *config.TestOutcome) {
	for i, name := range o.By {
		at := path + ".by"
		if listed := fmt.Sprintf("%s[%d]", at, i); c.test.Position(listed) != c.test.Position(at) {
			at = listed
		}
		c.rule(at, name)
	}
	for name := range o.Refused {
		c.rule(path+".refused."+name, name)
	}
	for name := range o.Shadow {
		c.rule(path+".shadow."+name, name)
	}
}

func (c *checker) rule(path, name string) {
	if c.rules.set.Rule(name) != nil {
		return
	}
	var names []string
	for i := range c.rules.set.Rules {
		names = append(names, c.rules.set.Rules[i].Name)
	}
	c.add(path, config.Suggest(name, names), "no rule is named %q", name)
}
