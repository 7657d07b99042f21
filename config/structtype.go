package config

import (
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// field is what the tags of a struct field say.
type field struct {
	name      string
	index     []int
	typ       reflect.Type
	doc       string
	def       string
	hasDef    bool
	defVal    reflect.Value
	min, max  string
	least     float64 // min as a number
	most      float64 // max as a number
	enum      []string
	laterEnum []string
	pattern   string
	scalar    string // a word that stands for the absent value
	required  bool
	later     bool
	class     Class
}

// structType is the fields of a struct, by key.
type structType struct {
	fields []*field
	byName map[string]*field
	names  []string
}

// FieldName is the key of a struct field in YAML: its yaml tag, else its json tag, else its name with a small first
// letter. ok is false for a field that has no key.
func FieldName(f reflect.StructField) (name string, ok bool) {
	if !f.IsExported() {
		return "", false
	}
	for _, tag := range []string{"yaml", "json"} {
		value, tagged := f.Tag.Lookup(tag)
		if !tagged {
			continue
		}
		name, _, _ := strings.Cut(value, ",")
		if name == "-" {
			return "", false
		}
		if name != "" {
			return name, true
		}
	}
	return lowerFirst(f.Name), true
}

// lowerFirst makes the first word small: MaxItems is maxItems, URL is url, HTTPPort is httpPort.
func lowerFirst(s string) string {
	runes := []rune(s)
	for i, r := range runes {
		if !unicode.IsUpper(r) || (i > 0 && i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			break
		}
		runes[i] = unicode.ToLower(r)
	}
	return string(runes)
}

func (d *decoder) structType(t reflect.Type) *structType {
	if known, ok := d.types[t]; ok {
		return known
	}
	s := &structType{byName: map[string]*field{}}
	d.types[t] = s
	s.add(t, nil)
	for _, f := range s.fields {
		f.least, f.most = bound(f.typ, f.min), bound(f.typ, f.max)
		if f.hasDef {
			f.defVal = reflect.New(f.typ).Elem()
			setText(f.defVal, f.def)
		}
	}
	return s
}

func (s *structType) add(t reflect.Type, around []int) {
	for i := range t.NumField() {
		sf := t.Field(i)
		index := append(append([]int(nil), around...), i)
		tag := sf.Tag.Get("yaml")
		if sf.Type.Kind() == reflect.Struct && (strings.HasSuffix(tag, ",inline") || (sf.Anonymous && tag == "")) {
			s.add(sf.Type, index)
			continue
		}
		name, ok := FieldName(sf)
		if !ok {
			continue
		}
		f := newField(sf, name, index)
		s.fields = append(s.fields, f)
		s.byName[name] = f
		s.names = append(s.names, name)
	}
}

func newField(sf reflect.StructField, name string, index []int) *field {
	f := &field{
		name: name, index: index, typ: sf.Type,
		doc: sf.Tag.Get("doc"), min: sf.Tag.Get("min"), max: sf.Tag.Get("max"),
		pattern: sf.Tag.Get("pattern"), scalar: sf.Tag.Get("scalar"), class: Class(sf.Tag.Get("reload")),
		required: sf.Tag.Get("required") == "true", later: sf.Tag.Get("later") == "true",
	}
	f.def, f.hasDef = sf.Tag.Lookup("default")
	if enum, ok := sf.Tag.Lookup("enum"); ok {
		f.enum = strings.Split(enum, ",")
	}
	if later, ok := sf.Tag.Lookup("laterEnum"); ok {
		f.laterEnum = strings.Split(later, ",")
	}
	return f
}

// fold makes rate_limit, rate-limit and RateLimit one word.
func fold(word string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' || r == utf8.RuneError {
			return -1
		}
		return unicode.ToLower(r)
	}, word)
}
