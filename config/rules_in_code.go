package config

import (
	"fmt"
	"reflect"
	"time"
)

// CompleteRules is for rules that a program makes: it returns a copy in which the documented defaults stand where rules
// have the zero value, and all that is wrong with it. The rules given are not changed. There are no positions; paths
// begin with the name of the rule: rules[billing-calls].retry.maxAttempts.
func CompleteRules(rules []Rule) ([]Rule, Problems) {
	d := newDecoder("", nil)
	completed := make([]Rule, len(rules))
	for i := range rules {
		r := rules[i]
		r.path, r.at = "rules["+r.Name+"]", places{}
		if r.Name == "" {
			r.path = fmt.Sprintf("rules[%d]", i)
		}
		d.scope = r.path
		d.completeStruct(reflect.ValueOf(&r).Elem(), "")
		r.complete()
		completed[i] = r
	}
	c := newRuleChecker(completed)
	c.rules()
	c.pairs()
	return completed, d.problems.With(c.problems)
}

// completeStruct fills in the defaults of a struct that a program made and checks what stands there. Pointers and lists
// are replaced by copies.
func (d *decoder) completeStruct(v reflect.Value, path string) {
	for _, f := range d.structType(v.Type()).fields {
		fv, at := v.FieldByIndex(f.index), join(path, f.name)
		switch {
		case fv.IsZero() && f.required:
			d.coded(at, "is required", "")
		case fv.IsZero() && f.hasDef && fv.Kind() == reflect.Slice:
			fv.Set(reflect.AppendSlice(reflect.MakeSlice(f.typ, 0, f.defVal.Len()), f.defVal))
		case fv.IsZero() && f.hasDef:
			fv.Set(f.defVal)
		case fv.IsZero():
		case f.later:
			d.coded(at, "not supported yet", "")
			fv.SetZero()
		default:
			d.completeValue(fv, f, at)
		}
	}
}

func (d *decoder) completeValue(v reflect.Value, f *field, path string) {
	switch t := v.Type(); {
	case t.Kind() == reflect.Pointer:
		own := reflect.New(t.Elem())
		own.Elem().Set(v.Elem())
		v.Set(own)
		d.completeValue(own.Elem(), f, path)
	case isScalar(t):
		if message, suggestion := check(v, f); message != "" {
			d.coded(path, message, suggestion)
		}
	case t.Kind() == reflect.Struct:
		d.completeStruct(v, path)
	case t.Kind() == reflect.Slice:
		own := reflect.MakeSlice(t, v.Len(), v.Len())
		reflect.Copy(own, v)
		v.Set(own)
		for i := range own.Len() {
			d.completeValue(own.Index(i), f, fmt.Sprintf("%s[%d]", path, i))
		}
	}
}

// coded reports a problem of what a program made.
func (d *decoder) coded(path, message, suggestion string) {
	d.problems = append(d.problems, Problem{Path: join(d.scope, path), Message: message, Suggestion: suggestion})
}

// newRuleChecker checks rules that stand alone. Whoever checks callers has told the program already, so that no caller
// is unlikely.
func newRuleChecker(rules []Rule) *checker {
	return &checker{set: &Set{Manifest: &Manifest{Auth: Auth{Identify: []string{"token"}}}, Rules: rules}, now: time.Now()}
}
