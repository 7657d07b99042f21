package registry

import (
	"reflect"
	"slices"
	"strings"
)

// jsonField is a struct's field as encoding/json sees it.
type jsonField struct {
	name   string
	tagged bool
	quoted bool
	depth  int // of the embedded struct that it comes from
	typ    reflect.Type
}

func (f jsonField) example(path []reflect.Type) any {
	v := example(f.typ, path)
	if f.quoted {
		return quoted(v)
	}
	return v
}

// jsonFields lists the fields of a struct and of the structs embedded in it, by encoding/json's rules: of several with
// one name the least deep counts, then the one with a tag, and otherwise none.
func jsonFields(t reflect.Type) []jsonField {
	all := collectFields(t, nil, nil)
	best := map[string]jsonField{}
	count := map[string]int{}
	for _, f := range all {
		b, seen := best[f.name]
		switch {
		case !seen || f.depth < b.depth || f.depth == b.depth && f.tagged && !b.tagged:
			best[f.name], count[f.name] = f, 1
		case f.depth == b.depth && f.tagged == b.tagged:
			count[f.name]++
		}
	}
	fields := all[:0]
	for _, f := range all {
		if f == best[f.name] && count[f.name] == 1 {
			fields = append(fields, f)
		}
	}
	return fields
}

// collectFields appends the fields of t, embedded in the structs of path.
func collectFields(t reflect.Type, path []reflect.Type, fields []jsonField) []jsonField {
	for _, outer := range path {
		if outer == t {
			return fields
		}
	}
	inner := append(slices.Clip(path), t)
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		if tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if f.Anonymous && name == "" {
			if s := structOf(f.Type); s != nil {
				fields = collectFields(s, inner, fields)
				continue
			}
		}
		if !f.IsExported() || !encodable(f.Type) {
			continue
		}
		field := jsonField{name: name, tagged: name != "", depth: len(path), typ: f.Type}
		if name == "" {
			field.name = f.Name
		}
		field.quoted = strings.Contains(","+options+",", ",string,")
		fields = append(fields, field)
	}
	return fields
}

func structOf(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return t
}

func encodable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		return false
	default:
		return true
	}
}
