package load

import (
	"fmt"

	"github.com/easymicro/easymicro/config"
)

const (
	matchesNothing = "matches no file; with policies.allowEmpty: true that is fine"
	allGone        = "all policy files are gone; with policies.allowEmpty: true that is fine"
)

// missing reports patterns that match nothing: each of them at start, all of them together later.
func (r *readFiles) missing(reload bool) config.Problems {
	p := &r.decoded.Policies
	if p.AllowEmpty || len(p.Files) == 0 {
		return nil
	}
	if reload {
		if len(r.policies) > 0 {
			return nil
		}
		return config.Problems{r.problemAt("policies.files", allGone)}
	}
	var problems config.Problems
	for i, pattern := range p.Files {
		if pattern != "" && len(r.matches([]string{pattern})) == 0 {
			problems = append(problems, r.problemAt(fmt.Sprintf("policies.files[%d]", i), matchesNothing))
		}
	}
	return problems
}

func (r *readFiles) problemAt(path, message string) config.Problem {
	at := r.decoded.Position(path)
	return config.Problem{File: at.File, Line: at.Line, Column: at.Column, Path: path, Message: message}
}

// isMissing tells that a problem of the manifest is about the policy files that are not there.
func (r *readFiles) isMissing(p config.Problem) bool {
	return p.Message == matchesNothing || p.Message == allGone
}
