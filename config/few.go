package config

import (
	"fmt"
	"strings"
)

const (
	mostAlike   = 20  // problems of one kind in a list that is short
	mostChanges = 100 // changes in one
)

// Few returns the problems, of those that are alike only the first ones and how many more there are. Alike are warnings, or
// problems that are none, at the same place of different list elements.
func (p Problems) Few() Problems {
	type kind struct {
		warning bool
		path    string
	}
	of := func(q *Problem) kind { return kind{q.Warning, withoutIndexes(q.Path)} }
	count := make(map[kind]int)
	for i := range p {
		count[of(&p[i])]++
	}
	var few Problems
	shown := make(map[kind]int, len(count))
	for i := range p {
		k := of(&p[i])
		shown[k]++
		switch {
		case shown[k] <= mostAlike || count[k] == mostAlike+1:
			few = append(few, p[i])
		case shown[k] == mostAlike+1:
			more := p[i]
			more.Path, more.Suggestion = k.path, ""
			more.Message = fmt.Sprintf("and %d more like these: easymicro validate lists all", count[k]-mostAlike)
			few = append(few, more)
		}
	}
	return few
}

// withoutIndexes is a path without the numbers of its list elements: rules[].match.
func withoutIndexes(path string) string {
	var b strings.Builder
	for {
		before, inside, found := strings.Cut(path, "[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("[")
		if _, path, found = strings.Cut(inside, "]"); !found {
			return b.String()
		}
		b.WriteString("]")
	}
}

// Few returns the changes, of many only the first ones and how many more there are.
func (c Changes) Few() Changes {
	if len(c) <= mostChanges+1 {
		return c
	}
	more := Change{Text: fmt.Sprintf("and %d more changes", len(c)-mostChanges), Class: c[mostChanges:].Class()}
	return append(c[:mostChanges:mostChanges], more)
}
