// Package policytest runs policy tests: scripted calls, on a virtual clock, under the compiled rules of a manifest.
//
// The rules are loaded, checked and compiled as by a host, and decide in its order. Handlers are not opened and nothing is sent:
// what a handler, or an upstream, does with a call is part of the test.
package policytest

import (
	"testing"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/registry"
)

// Options configure a run.
type Options struct {
	Files    []string `json:"files"`             // of policy tests; of a directory, those in it
	Against  string   `json:"against,omitempty"` // manifest that nobody_new compares with, in place of that of the files
	Coverage bool     `json:"coverage,omitempty"`

	Registry *registry.Registry `json:"-"` // nil: registry.Default()
}

// Suite is the outcome of a file of policy tests. If there are Problems, no case was run.
type Suite struct {
	File     string          `json:"file"`
	Manifest string          `json:"manifest,omitempty"`
	Problems config.Problems `json:"problems,omitempty"` // files that Manifest names are relative to it
	Cases    []Case          `json:"cases"`
	Coverage []Coverage      `json:"coverage,omitempty"` // of all rules, in the order of the set
}

// Failed returns the number of cases that failed.
func (s *Suite) Failed() (n int) {
	for i := range s.Cases {
		if len(s.Cases[i].Failures) > 0 {
			n++
		}
	}
	return n
}

// Case is the outcome of a case.
type Case struct {
	Name      string          `json:"name"`
	Line      int             `json:"line"`
	Seen      Tally           `json:"seen"`
	VirtualMS int64           `json:"virtual_ms"` // from the first call to the end of the last one
	TookMS    float64         `json:"took_ms"`
	Failures  config.Problems `json:"failures"`
}

// Coverage is how often the cases of a file met a rule.
type Coverage struct {
	Rule     string `json:"rule"`
	Position string `json:"position"`
	Mode     string `json:"mode"`
	Met      uint64 `json:"met"` // decisions of its kinds
}

// Test runs files of policy tests with the handlers of registry.Default, each case as a subtest of t.
func Test(t *testing.T, files ...string) {
	t.Helper()
	suites, err := loadSuites(t.Context(), &Options{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range suites {
		for i := range s.outcome.Problems {
			t.Error(s.outcome.Problems[i])
		}
		for i := range s.test.Cases {
			t.Run(s.test.Cases[i].Name, func(t *testing.T) {
				for _, failure := range s.run(t, i).Failures {
					t.Error(failure)
				}
			})
		}
	}
}

// Run runs all cases, and calls each with the outcome of every file. t fails only if Run itself does. It returns an
// error if a file cannot be found.
func Run(t *testing.T, o *Options, each func(*Suite)) error {
	t.Helper()
	suites, err := loadSuites(t.Context(), o)
	if err != nil {
		return err
	}
	for _, s := range suites {
		for i := range s.test.Cases {
			s.outcome.Cases = append(s.outcome.Cases, s.run(t, i))
		}
		if o.Coverage && s.outcome.Problems == nil {
			s.outcome.Coverage = s.coverage()
		}
		each(&s.outcome)
	}
	return nil
}
