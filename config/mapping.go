package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/easymicro/easymicro/wire/code"
)

// mapping decodes n into the struct v: defaults first, then what is written, then what is missing.
func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	s := d.structType(v.Type())
	if !d.prefill {
		d.defaults(v)
	}
	written := make(map[string]bool, len(n.Content)/2)
	d.pairs(n, path, func(key, value *yaml.Node) {
		f, ok := s.byName[key.Value]
		if !ok && n == d.root && isExtension(key.Value) {
			return
		}
		if !ok {
			written[d.unknownKey(key, value, n, s, v.Type(), path)] = true // one mistake, one problem
			return
		}
		written[f.name] = true
		d.field(key, value, v.FieldByIndex(f.index), f, join(path, f.name))
	})
	for _, f := range s.fields {
		if f.required && !written[f.name] {
			d.problem(n, join(path, f.name), "is required", "")
		}
	}
}

func (d *decoder) field(key, value *yaml.Node, v reflect.Value, f *field, path string) {
	d.place(value, path)
	before := len(d.problems)
	d.value(value, v, f, path)
	if !f.later || (len(d.problems) == before && isOff(v, f)) {
		return
	}
	d.problem(key, path, "not supported yet", "")
	v.SetZero()
}

// isOff tells that a field of a later issue is written as what it is anyway.
func isOff(v reflect.Value, f *field) bool {
	if f.hasDef && v.Comparable() && v.Equal(f.defVal) {
		return true
	}
	if v.Kind() == reflect.Slice || v.Kind() == reflect.Map {
		return v.Len() == 0
	}
	return v.IsZero()
}

// defaults sets what the tags say, in v and in the structs inside it.
func (d *decoder) defaults(v reflect.Value) {
	for _, f := range d.structType(v.Type()).fields {
		fv := v.FieldByIndex(f.index)
		switch {
		case f.hasDef && fv.Kind() == reflect.Slice:
			fv.Set(reflect.AppendSlice(reflect.MakeSlice(f.typ, 0, f.defVal.Len()), f.defVal))
		case f.hasDef:
			fv.Set(f.defVal)
		case f.typ.Kind() == reflect.Struct && f.typ != timeType && f.typ != rawOptionsType:
			d.defaults(fv)
		}
	}
}

// unknownKey reports a key, and returns the one that was probably meant.
func (d *decoder) unknownKey(key, value, around *yaml.Node, s *structType, t reflect.Type, path string) (ours string) {
	message, secret := "unknown key", t == reflect.TypeFor[Token]()
	ours, suggestion := d.foreignPair(t, key, value)
	if ours == "" {
		ours = d.meant(key.Value, s, t)
		suggestion = ours
		outer, inner, isNested := strings.Cut(ours, ".")
		switch {
		case ours == "":
			message += "; known are " + strings.Join(slices.Sorted(slices.Values(s.names)), ", ")
		case !isNested:
			suggestion = d.keyAndValue(ours, key, value, s.byName[ours], secret)
		default:
			suggestion = ""
			if !hasKey(around, outer) && !secret {
				suggestion = d.nested(s.byName[outer], outer, inner, value)
			}
			if suggestion == "" {
				message = fmt.Sprintf("unknown key: %s stands inside of %s", inner, outer)
			}
		}
	}
	d.problem(key, join(path, clip(key.Value)), message, suggestion)
	return ours
}

func hasKey(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

// meant is the key that was probably meant: the same word spelt otherwise, the word of another system, a misspelling,
// or a key of one of the blocks inside.
func (d *decoder) meant(word string, s *structType, t reflect.Type) string {
	folded := fold(word)
	for _, name := range s.names {
		if fold(name) == folded {
			return name
		}
	}
	if hint := foreignKey(t, folded); hint != "" {
		return hint
	}
	if near := Suggest(word, s.names); near != "" {
		return near
	}
	inside := ""
	for _, f := range s.fields {
		ft := f.typ
		if ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		if f.later || ft.Kind() != reflect.Struct || ft == timeType || ft == rawOptionsType {
			continue
		}
		if d.structType(ft).byName[word] == nil {
			continue
		}
		if inside != "" {
			return ""
		}
		inside = f.name + "." + word
	}
	return inside
}

// clip is what a message repeats of a text that stands in a file.
func clip(s string) string { return code.Clip(s, 64) }
