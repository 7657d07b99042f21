package config

import (
	"fmt"
	"reflect"
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

// Field is one field of the reference.
type Field struct {
	Path      string // rules[].rateLimit.rate; a token of a tokens file begins with tokens[]
	Type      string // in words: duration, list of text
	Default   string
	Bounds    string // from 1 to 10
	Enum      []string
	Later     bool     // not supported yet, nor is what lies inside
	LaterEnum []string // values that are not supported yet
	Required  bool
	Class     Class
	Doc       string
}

// Fields are all fields of the manifest, of policy files, of tokens files and of files with endpoints, in the order of
// the types, each behind the block that it is in. The rules stand once, as policy files have them.
func Fields() []Field {
	f := &fields{types: structTypes{}}
	f.add("", reflect.TypeFor[Manifest](), "", false)
	f.add("", reflect.TypeFor[policyFile](), Live, false)
	f.add("tokens[]", reflect.TypeFor[Token](), Live, false)
	f.add("", reflect.TypeFor[endpointsFile](), Live, false)
	return f.list
}

type fields struct {
	types structTypes
	list  []Field
}

func (l *fields) add(around string, t reflect.Type, class Class, later bool) {
	for _, f := range l.types.of(t).fields {
		own := Field{
			Path: join(around, f.name), Type: typeWords(f.typ), Default: f.def, Bounds: strings.TrimSpace(bounds(f)),
			Enum: f.enum, LaterEnum: f.laterEnum, Required: f.required, Class: class, Later: later || f.later, Doc: f.doc,
		}
		switch f.pattern {
		case "cidr":
			own.Type = strings.NewReplacer("glob", "network", "text", "networks").Replace(own.Type)
		case "proxy":
			own.Type = "list of networks and unix"
		}
		if f.class != "" {
			own.Class = f.class
		}
		l.list = append(l.list, own)
		inside, path := f.typ, own.Path
		if inside.Kind() == reflect.Slice {
			inside, path = inside.Elem(), path+"[]"
		}
		if inside.Kind() == reflect.Pointer {
			inside = inside.Elem()
		}
		isBlock := inside.Kind() == reflect.Struct && !isScalar(inside) && inside != rawOptionsType
		if isBlock && own.Path != "policies.rules" {
			l.add(path, inside, own.Class, own.Later)
		}
	}
}

// typeWords is a type for readers of YAML.
func typeWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return typeWords(t.Elem())
	case reflect.Slice:
		switch t {
		case patternsType:
			return "glob or list of globs"
		case keyType:
			return "text or list of texts"
		case exceptionsType:
			return "mapping or list of mappings"
		}
		return "list of " + strings.TrimPrefix(typeWords(t.Elem()), "a ")
	case reflect.Map:
		return "mapping of " + typeWords(t.Elem())
	case reflect.Bool:
		return "true or false"
	}
	switch t {
	case durationType:
		return "duration"
	case bytesType:
		return "size"
	case shareType:
		return "share"
	case timeType:
		return "time"
	case rateType:
		return "number"
	}
	return strings.TrimPrefix(article(t), "a ")
}
