package config

import (
	"fmt"
	"strings"
)

//go:generate go test -run TestReferenceIsWhatTheTypesSay . -update

// Reference is the reference of all fields in Markdown: REFERENCE.md, which a test compares with the types.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# Reference of the manifest and the policy files

Made from the types by ` + "`go generate ./config`" + `; a test compares it. Reload: **live** changes between two calls, **rolling**
opens and closes services or listeners without losing calls, **restart** takes effect with the next start.
Fields marked *later* are understood and, when written, refused as "not supported yet".
`)
	block := ""
	for _, f := range Fields() {
		top := f.Path
		if i := strings.IndexAny(top, ".["); i > 0 {
			top = top[:i]
		}
		if top != block {
			block = top
			fmt.Fprintf(&b, "\n## %s\n\n| field | type | default | accepts | reload | |\n|---|---|---|---|---|---|\n", block)
		}
		fmt.Fprintf(&b, "| %s%s | %s | %s | %s | %s | %s |\n",
			inCode("", f.Path), mark(f.Required, " **required**"), f.Type, inCode("", f.Default), f.accepts(), f.Class,
			mark(f.Later, "*later* ")+strings.ReplaceAll(f.Doc, "|", "\\|"))
	}
	return b.String()
}

func (f Field) accepts() string {
	if len(f.Enum) == 0 {
		return f.Bounds
	}
	var words []string
	for _, value := range f.Enum {
		if value == "" {
			continue // the same as leaving the key out
		}
		later := ""
		for _, l := range f.LaterEnum {
			if l == value {
				later = " (later)"
			}
		}
		words = append(words, inCode(later, value))
	}
	return strings.Join(words, ", ")
}

func inCode(behind, s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`" + behind
}

func mark(on bool, s string) string {
	if on {
		return s
	}
	return ""
}
