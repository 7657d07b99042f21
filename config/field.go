package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// field holds the tags of a struct field.
type field struct {
	name      string
	index     []int
	typ       reflect.Type
	doc       string
	def       string
	hasDef    bool
	defVal    reflect.Value
	min, max  string
	low       float64 // min as a number
	high      float64 // max as a number
	enum      []string
	laterEnum []string
	pattern   string
	scalar    string // the word for an absent value
	required  bool
	later     string // if not supported yet: the alternative, or "true"
	class     Class
	effect    string // what a larger value does to calls
}

// notSupported returns the message for a field that is not supported yet.
func (f *field) notSupported() string {
	if f.later == "true" {
		return "not supported yet"
	}
	return "not supported yet: " + f.later
}

// setDefault sets v to the default, or to a copy of it if that is a list.
func (f *field) setDefault(v reflect.Value) {
	v.Set(f.defVal)
	if v.Kind() == reflect.Slice {
		v.Set(reflect.AppendSlice(reflect.MakeSlice(f.typ, 0, v.Len()), f.defVal))
	}
}

// structType holds the fields of a struct by key.
type structType struct {
	fields []*field
	byName map[string]*field
	names  []string
}

// FieldName returns the YAML key of a struct field: its yaml tag, else its json tag, else its name in lower camel
// case. It returns false for a field without a key.
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

// lowerFirst lowers the first word: MaxItems to maxItems, URL to url, HTTPPort to httpPort.
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

// structTypes caches structs by type.
type structTypes map[reflect.Type]*structType

func (d structTypes) of(t reflect.Type) *structType {
	if known, ok := d[t]; ok {
		return known
	}
	s := &structType{byName: map[string]*field{}}
	d[t] = s
	s.add(t, nil)
	for _, f := range s.fields {
		f.low, f.high = bound(f.typ, f.min), bound(f.typ, f.max)
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
		effect:   sf.Tag.Get("effect"),
		required: sf.Tag.Get("required") == "true", later: sf.Tag.Get("later"),
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

// check checks a decoded scalar against the tags of its field.
func check(v reflect.Value, f *field) (message, suggestion string) {
	if message := checkBounds(v, f); message != "" {
		return message, ""
	}
	if v.Kind() != reflect.String {
		return "", ""
	}
	text := v.String()
	if len(f.enum) > 0 && !slices.Contains(f.enum, text) {
		usable := slices.DeleteFunc(slices.Clone(f.enum), func(s string) bool { return s == "" || slices.Contains(f.laterEnum, s) })
		return fmt.Sprintf("%q is not one of %s", clip(text), strings.Join(usable, ", ")), Suggest(text, usable)
	}
	if slices.Contains(f.laterEnum, text) {
		return fmt.Sprintf("%s is not supported yet", text), ""
	}
	if f.pattern != "" {
		normal, message, suggestion := patterns[f.pattern](text)
		v.SetString(normal)
		return message, suggestion
	}
	return "", ""
}

func checkBounds(v reflect.Value, f *field) string {
	value, numeric := number(v)
	if !numeric || (f.min == "" && f.max == "") {
		return ""
	}
	if (f.min == "" || value >= f.low) && (f.max == "" || value <= f.high) {
		return ""
	}
	if v.Type() == stdDuration && value < 0 && f.min != "" && f.low >= 0 {
		return fmt.Sprintf(negative, show(v))
	}
	return fmt.Sprintf("must be%s, not %s", bounds(f), show(v))
}

// bounds returns " from 1 to 10", " at least 1", " at most 10" or "".
func bounds(f *field) string {
	switch {
	case f.min != "" && f.max != "":
		return " from " + f.min + " to " + f.max
	case f.min != "":
		return " at least " + f.min
	case f.max != "":
		return " at most " + f.max
	default:
		return ""
	}
}

func bound(t reflect.Type, text string) float64 {
	if text == "" {
		return 0
	}
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem() // the bounds of a list apply to its elements
	}
	v := reflect.New(t).Elem()
	setText(v, text)
	value, _ := number(v)
	return value
}

func number(v reflect.Value) (value float64, ok bool) {
	switch {
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanUint():
		return float64(v.Uint()), true
	case v.CanFloat():
		return v.Float(), true
	default:
		return 0, false
	}
}

// show returns a scalar as it is written.
func show(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Time:
		if x.IsZero() {
			return ""
		}
		return x.Format(time.RFC3339)
	case time.Duration:
		return Duration(x).String()
	default:
		return fmt.Sprint(x)
	}
}

// typeName returns a type in words, with an article.
func typeName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == durationType || t == stdDuration:
		return "a duration like 500ms"
	case t == bytesType:
		return "a size like 4MiB"
	case t == memoryLimitType:
		return "auto, off or a size like 1GiB"
	case t == shareType:
		return "a ratio like 50%"
	case t == timeType:
		return "a time like 2026-12-31T00:00:00Z"
	case t == patternsType || t == keyType:
		return "a value or a list of values"
	case t == rawOptionsType:
		return "a mapping"
	case oneOrList[t]:
		return "a mapping or a list of mappings"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		if reflect.PointerTo(t).Implements(textType) {
			return "a string"
		}
		return "a mapping"
	case reflect.Interface:
		return "a value"
	default:
		return "an integer"
	}
}

// isOff reports whether an unsupported field is set to its inert default.
func isOff(v reflect.Value, f *field) bool {
	if f.hasDef && v.Comparable() && v.Equal(f.defVal) {
		return true
	}
	if v.Kind() == reflect.Slice || v.Kind() == reflect.Map {
		return v.Len() == 0
	}
	return v.IsZero()
}

// setDefaults sets the defaults of v and of the structs inside it.
func (d structTypes) setDefaults(v reflect.Value) {
	for _, f := range d.of(v.Type()).fields {
		fv := v.FieldByIndex(f.index)
		switch {
		case f.hasDef:
			f.setDefault(fv)
		case f.scalar != "": // an absent block has its defaults: only the scalar turns it off
			fv.Set(reflect.New(f.typ.Elem()))
			d.setDefaults(fv.Elem())
		case f.typ.Kind() == reflect.Struct && f.typ != timeType && f.typ != rawOptionsType:
			d.setDefaults(fv)
		}
	}
}

// below returns the field at a path below v, and its tags.
func (d structTypes) below(v reflect.Value, path string) (reflect.Value, *field) {
	var f *field
	for part := range strings.SplitSeq(path, ".") {
		name, index, indexed := strings.Cut(strings.TrimSuffix(part, "]"), "[")
		if v.Kind() != reflect.Struct {
			return v, nil
		}
		if f = d.of(v.Type()).byName[name]; f == nil {
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

// isScalar reports whether values of t are written as a scalar.
func isScalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return true
	default:
		return t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(textType)
	}
}

var (
	rawOptionsType = reflect.TypeFor[RawOptions]()
	patternsType   = reflect.TypeFor[Patterns]()
	keyType        = reflect.TypeFor[Key]()
	claimsType     = reflect.TypeFor[Claims]()
)

// oneOrList has the types of lists whose only mapping may be written without a list.
var oneOrList = map[reflect.Type]bool{
	reflect.TypeFor[Exceptions](): true, reflect.TypeFor[TestSteps](): true, reflect.TypeFor[TestScripts](): true,
}

// Class tells what applying the change of a field requires.
type Class string

func (c Class) weight() int {
	switch c {
	case Restart:
		return 2
	case Rolling:
		return 1
	default:
		return 0
	}
}

// The classes, weakest first.
const (
	Live    Class = "live"    // between two calls
	Rolling Class = "rolling" // services or listeners are opened and closed without losing a call
	Restart Class = "restart" // pending until the next start
)
