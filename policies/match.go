package policies

import "strings"

// glob is a compiled pattern: text, with * for any text (none included).
type glob struct {
	text    string
	exact   bool
	prefix  string   // before the first *
	suffix  string   // behind the last *
	middle  []string // between stars, in order; none is empty
	literal int      // length without the stars
}

func compileGlob(text string) glob {
	parts := strings.Split(text, "*")
	if len(parts) == 1 {
		return glob{text: text, exact: true, literal: len(text)}
	}
	g := glob{text: text, prefix: parts[0], suffix: parts[len(parts)-1]}
	for _, p := range parts[1 : len(parts)-1] {
		if p != "" {
			g.middle = append(g.middle, p)
		}
	}
	for _, p := range parts {
		g.literal += len(p)
	}
	return g
}

func compileGlobs(patterns []string) []glob {
	globs := make([]glob, len(patterns))
	for i, p := range patterns {
		globs[i] = compileGlob(p)
	}
	return globs
}

func (g *glob) matches(s string) bool {
	if g.exact {
		return g.text == s
	}
	if len(s) < g.literal || !strings.HasPrefix(s, g.prefix) || !strings.HasSuffix(s, g.suffix) {
		return false
	}
	s = s[len(g.prefix) : len(s)-len(g.suffix)]
	for _, m := range g.middle {
		i := strings.Index(s, m)
		if i < 0 {
			return false
		}
		s = s[i+len(m):]
	}
	return true
}

// patternSet is a list of patterns that may be long: a map of exact texts, and a walk over globs.
type patternSet struct {
	exact map[string]bool
	globs []glob
}

func newPatternSet(texts []string) patternSet {
	var p patternSet
	for _, text := range texts {
		g := compileGlob(text)
		if !g.exact {
			p.globs = append(p.globs, g)
			continue
		}
		if p.exact == nil {
			p.exact = make(map[string]bool)
		}
		p.exact[text] = true
	}
	return p
}

func (p *patternSet) empty() bool { return len(p.exact)+len(p.globs) == 0 }

func (p *patternSet) match(s string) bool { return p.exact[s] || matchesAny(p.globs, s) }

// narrowest is the narrowness of the pattern that counts for s: absent when there are no patterns.
func (p *patternSet) narrowest(s string) (int32, bool) {
	if p.exact[s] {
		return exactly, true
	}
	if len(p.globs) == 0 {
		return absent, len(p.exact) == 0
	}
	return narrowest(p.globs, s)
}

func matchesAny(globs []glob, s string) bool {
	for i := range globs {
		if globs[i].matches(s) {
			return true
		}
	}
	return false
}

// overlap tells whether there is a text that both match.
func (g *glob) overlap(o *glob) bool {
	switch {
	case g.exact:
		return o.matches(g.text)
	case o.exact:
		return g.matches(o.text)
	}
	// Two globs with a star each: only their fixed ends can contradict each other, since whatever one of them wants
	// between its ends fits into the other's stars.
	p, s := min(len(g.prefix), len(o.prefix)), min(len(g.suffix), len(o.suffix))
	return g.prefix[:p] == o.prefix[:p] && g.suffix[len(g.suffix)-s:] == o.suffix[len(o.suffix)-s:]
}
