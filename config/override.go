package config

import (
	"reflect"
	"strconv"
	"strings"
)

// Override sets one scalar of the manifest to what a flag or a variable says. source (--listen, EASYMICRO_LISTEN) is
// what problems and positions name from then on.
func (m *Manifest) Override(path, text, source string) Problems {
	d := newDecoder("", nil)
	v, f := d.below(reflect.ValueOf(m).Elem(), path)
	if f == nil {
		return Problems{{File: source, Path: path, Message: "there is no such field"}}
	}
	next := reflect.New(v.Type()).Elem()
	message := setText(next, text)
	suggestion := ""
	if message == "" {
		message, suggestion = check(next, f)
	}
	if address, ok := next.Interface().(Address); ok && message == "" && address != "" {
		if _, _, err := address.Split(); err != nil {
			message = err.Error()
		}
	}
	if message != "" {
		return Problems{{File: source, Path: path, Message: message, Suggestion: suggestion}}
	}
	v.Set(next)
	if m.sources == nil {
		m.sources = map[string]string{}
	}
	m.sources[path] = source
	return nil
}

// below is the field at a path below v, and what its tags say.
func (d *decoder) below(v reflect.Value, path string) (reflect.Value, *field) {
	var f *field
	for part := range strings.SplitSeq(path, ".") {
		name, index, indexed := strings.Cut(strings.TrimSuffix(part, "]"), "[")
		if v.Kind() != reflect.Struct {
			return v, nil
		}
		if f = d.structType(v.Type()).byName[name]; f == nil {
			return v, nil
		}
		v = v.FieldByIndex(f.index)
		if !indexed {
			continue
		}
		i, err := strconv.Atoi(index)
		if err != nil || i >= v.Len() {
			return v, nil
		}
		v = v.Index(i)
	}
	return v, f
}
