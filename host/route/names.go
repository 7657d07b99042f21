package route

import (
	"maps"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
)

// Names is a map by name that, failing an exact match, finds the only name that differs in case alone: clients of the
// 2019 framework send names in lower case.
type Names[T any] struct {
	exact  map[string]T
	folded map[string][]T
}

// NewNames returns an empty map with room for capacity names.
func NewNames[T any](capacity int) Names[T] {
	return Names[T]{exact: make(map[string]T, capacity), folded: make(map[string][]T, capacity)}
}

// Add adds a name that the map does not have.
func (n Names[T]) Add(name string, v T) {
	n.exact[name] = v
	lower := strings.ToLower(name)
	n.folded[lower] = append(n.folded[lower], v)
}

// Find returns the value of a name.
func (n Names[T]) Find(name string) (T, bool) {
	if v, ok := n.exact[name]; ok {
		return v, true
	}
	var none T
	if len(n.exact) == 0 {
		return none, false // without the cost of folding the name
	}
	if alike := n.folded[strings.ToLower(name)]; len(alike) == 1 {
		return alike[0], true
	}
	return none, false
}

// All returns the names, sorted.
func (n Names[T]) All() []string { return slices.Sorted(maps.Keys(n.exact)) }

// spelling finds the spelling of a remote method that the rules use. The other host ignores case, and another
// spelling must not bypass a rule.
type spelling struct {
	exact map[string]string // by name in lower case
	globs []string
}

func newSpelling(rules []config.Rule) spelling {
	s := spelling{exact: make(map[string]string)}
	for i := range rules {
		s.add(rules[i].MethodPatterns())
	}
	return s
}

func (s *spelling) add(patterns []string) {
	for _, p := range patterns {
		lower := strings.ToLower(p)
		switch _, taken := s.exact[lower]; {
		case strings.Contains(p, "*"):
			if strings.Trim(p, "*") != "" {
				s.globs = append(s.globs, p)
			}
		case !taken:
			s.exact[lower] = p
		}
	}
}

// of returns the name that rules are asked about.
func (s *spelling) of(method string) string {
	if name, ok := s.exact[strings.ToLower(method)]; ok {
		return name
	}
	for _, glob := range s.globs {
		method = respell(method, glob)
	}
	return method
}

// respell returns a name with its parts spelled as in a pattern, if the two match but for case.
func respell(name, glob string) string {
	parts := strings.Split(glob, "*")
	lower, first, last := strings.ToLower(name), parts[0], parts[len(parts)-1]
	if len(lower) != len(name) || len(name) < len(first)+len(last) ||
		!strings.HasPrefix(lower, strings.ToLower(first)) || !strings.HasSuffix(lower, strings.ToLower(last)) {
		return name
	}
	var b strings.Builder
	b.WriteString(first)
	end, at := len(name)-len(last), len(first)
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(lower[at:end], strings.ToLower(part))
		if i < 0 {
			return name
		}
		b.WriteString(name[at : at+i])
		b.WriteString(part)
		at += i + len(part)
	}
	b.WriteString(name[at:end])
	b.WriteString(last)
	return b.String()
}
