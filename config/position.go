package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Position is a place in a file of the set. Line and Column start at 1; zero means unknown.
type Position struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// String is file:line, or the file alone when the line is unknown.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line)
}

// IsZero tells that nothing is known.
func (p Position) IsZero() bool { return p == Position{} }

// place is where the value at a path stands.
type place struct {
	path         string
	line, column int32
}

// places are the known places of one decoded thing, sorted by path once it is decoded.
type places struct {
	file string
	list []place
}

func (p *places) sort() {
	slices.SortStableFunc(p.list, func(a, b place) int { return cmp.Compare(a.path, b.path) })
}

func (p *places) find(path string) (place, bool) {
	i, ok := slices.BinarySearchFunc(p.list, path, func(a place, path string) int { return cmp.Compare(a.path, path) })
	if !ok {
		return place{}, false
	}
	return p.list[i], true
}

// written tells whether the value at path stands in the file.
func (p *places) written(path string) bool {
	_, ok := p.find(path)
	return ok
}

// position is where the value at path stands, or else the nearest thing around it that is known.
func (p *places) position(path string) Position {
	for {
		if at, ok := p.find(path); ok {
			return Position{File: p.file, Line: int(at.line), Column: int(at.column)}
		}
		if path == "" {
			return Position{File: p.file}
		}
		path = parent(path)
	}
}

// parent is the path around path: a.b[2] is in a.b, which is in a, which is in "".
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}
