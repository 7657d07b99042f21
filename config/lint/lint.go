// Package lint names the kinds of problems of manifests and policy files: each has a stable code and a page.
package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Code names a kind of problem. A code never gets another meaning. EM1xx are about the text of a file, EM2xx about names and
// conflicting settings, EM3xx about numbers, EM4xx about danger. Those of handlers look like acme.orders/short-ttl.
type Code string

// Page describes the problems of a code.
type Page struct {
	Code    Code   `json:"code"`
	Title   string `json:"title"`
	Warning bool   `json:"warning"` // such problems do not keep a set from being applied, and may be ignored
	Edit    bool   `json:"edit"`    // found in edits alone, by comparing two sets
	Text    string `json:"text"`    // what is found, and why it matters
	Fix     string `json:"fix"`
	Bad     string `json:"bad"` // example, in YAML: a policy file if it begins with rules:, policy tests if with cases:, else a manifest
	Good    string `json:"good"`
}

// Pages returns all pages in the order of their codes.
func Pages() []Page { return slices.Clone(table) }

// PageOf returns the page of a code; false if there is none.
func PageOf(c Code) (Page, bool) {
	i, ok := slices.BinarySearchFunc(table, c, func(p Page, c Code) int { return strings.Compare(string(p.Code), string(c)) })
	if !ok {
		return Page{}, false
	}
	return table[i], true
}

// table is never changed.
var table = slices.Concat(syntaxPages, ignorePages, referencePages, arithmeticPages, dangerPages)

// Codes returns all codes.
func Codes() []string {
	codes := make([]string, len(table))
	for i := range table {
		codes[i] = string(table[i].Code)
	}
	return codes
}

// OfIgnores reports whether a code is about comments that ignore problems.
func OfIgnores(c Code) bool {
	return slices.ContainsFunc(ignorePages, func(p Page) bool { return p.Code == c })
}

// Warning reports whether problems of the code are warnings.
func (c Code) Warning() bool {
	p, ok := PageOf(c)
	return ok && p.Warning || c.ofHandler()
}

// Area returns what the code is about: syntax, reference, arithmetic, danger or handler; empty if it is not a code.
func (c Code) Area() string {
	switch {
	case c.ofHandler():
		return "handler"
	case !ours.MatchString(string(c)):
		return ""
	}
	return map[byte]string{'1': "syntax", '2': "reference", '3': "arithmetic", '4': "danger"}[c[2]]
}

var (
	ours       = regexp.MustCompile(`^EM[0-9]{3}$`)
	ofAHandler = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}/[a-z0-9-]{1,64}$`)
)

// ofHandler reports whether the code is one of a handler.
func (c Code) ofHandler() bool { return ofAHandler.MatchString(string(c)) }

// Kind returns error or warning.
func (p Page) Kind() string {
	if p.Warning {
		return "warning"
	}
	return "error"
}

// Markdown returns the page as a section in Markdown.
func (p Page) Markdown() string {
	return fmt.Sprintf("## %s: %s (%s)\n\n%s %s\n\n```yaml\n# reported\n%s\n```\n\n```yaml\n# not reported\n%s\n```\n",
		p.Code, p.Title, p.Kind(), p.Text, p.Fix, p.Bad, p.Good)
}

// Plain returns the page as text for a terminal.
func (p Page) Plain() string {
	indented := func(yaml string) string { return "  " + strings.ReplaceAll(yaml, "\n", "\n  ") }
	return fmt.Sprintf("%s: %s (%s)\n\n%s\n%s\n\nreported\n%s\n\nnot reported\n%s\n",
		p.Code, p.Title, p.Kind(), p.Text, p.Fix, indented(p.Bad), indented(p.Good))
}
