package policies

import (
	"strings"

	"github.com/easymicro/easymicro/wire/wildcard"
)

// glob is a compiled pattern: text, with * for any text (none included).
type glob struct {
	text    string
	exact   bool
	prefix  string // before the first *
	suffix  string // behind the last *
	literal int    // length without the stars
}

func compileGlob(text string) glob {
	g := glob{text: text, literal: len(text) - strings.Count(text, "*")}
	if g.exact = g.literal == len(text); !g.exact {
		g.prefix, g.suffix = text[:strings.IndexByte(text, '*')], text[strings.LastIndexByte(text, '*')+1:]
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
	return len(s) >= g.literal && wildcard.Match(g.text, s)
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
func (g *glob) overlap(o *glob) bool { return wildcard.Overlap(g.text, o.text) }
