package policies

import (
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
)

// Unmatched are warnings about rules that match no target, with what was probably meant. Rules for upstreams are left
// out.
func (s *Snapshot) Unmatched() config.Problems {
	if s == nil {
		return nil
	}
	var problems config.Problems
	for _, r := range s.rules {
		if len(r.targets) == 0 && len(r.config.Match.Upstream) == 0 {
			problems = append(problems, s.unmatched(r))
		}
	}
	return problems
}

func (s *Snapshot) unmatched(r *rule) config.Problem {
	var services, methods []string
	for t := range s.guards {
		services = append(services, t.Service)
		if len(r.services) == 0 || matchesAny(r.services, t.Service) {
			methods = append(methods, t.Method)
		}
	}
	field, word, patterns, known := "service", "service", r.config.Match.Service, services
	if len(methods) > 0 || len(patterns) == 0 {
		field, word, patterns, known = "method", "method", r.config.Match.Method, methods
		if len(r.services) > 0 {
			word += " of " + listed(r.config.Match.Service)
		}
	}
	if len(patterns) == 0 {
		// Neither is given: there are no methods at all.
		field, word, patterns = "", "method", []string{"*"}
	}
	slices.Sort(known)
	at := r.config.Position(strings.TrimSuffix("match."+field, "."))
	p := config.Problem{
		File: at.File, Line: at.Line, Column: at.Column, Path: r.config.Path() + strings.TrimSuffix(".match."+field, "."),
		Message: "no " + word + " of this host matches " + listed(patterns) + ": rule " + r.name + " does nothing here",
		Warning: true,
	}
	for _, pattern := range patterns {
		if p.Suggestion = config.Suggest(pattern, slices.Compact(known)); p.Suggestion != "" {
			break
		}
	}
	return p
}
