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
	later     string // if it is not supported yet: what to do instead, or "true"
	class     Class
}

// notSupported says that the field cannot be used yet, and what to do instead.
func (f *field) notSupported() string {
	if f.later == "true" {
		return "not supported yet"
	}
	return "not supported yet: " + f.later
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

// structTypes are the types that were looked at already.
type structTypes map[reflect.Type]*structType

func (d structTypes) of(t reflect.Type) *structType {
	if known, ok := d[t]; ok {
		return known
	}
	s := &structType{byName: map[string]*field{}}
	d[t] = s
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

// check compares a decoded scalar with what the tags of its field allow.
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
	if (f.min == "" || value >= f.least) && (f.max == "" || value <= f.most) {
		return ""
	}
	if v.Type() == stdDuration && value < 0 && f.min != "" && f.least >= 0 {
		return fmt.Sprintf(negative, show(v))
	}
	return fmt.Sprintf("must be%s, not %s", bounds(f), show(v))
}

// bounds is " from 1 to 10", " at least 1", " at most 10" or nothing.
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
		t = t.Elem() // the bounds of a list are those of its elements
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

// show is a scalar as one writes it.
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

// typeName is a type in words, with its article.
func typeName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == durationType || t == stdDuration:
		return "a duration like 500ms"
	case t == bytesType:
		return "a size like 4MiB"
	case t == shareType:
		return "a ratio like 50%"
	case t == timeType:
		return "a time like 2026-12-31T00:00:00Z"
	case t == patternsType || t == keyType:
		return "a value or a list of values"
	case t == rawOptionsType:
		return "a mapping"
	case t == exceptionsType:
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
func (d structTypes) setDefaults(v reflect.Value) {
	for _, f := range d.of(v.Type()).fields {
		fv := v.FieldByIndex(f.index)
		switch {
		case f.hasDef && fv.Kind() == reflect.Slice:
			fv.Set(reflect.AppendSlice(reflect.MakeSlice(f.typ, 0, f.defVal.Len()), f.defVal))
		case f.hasDef:
			fv.Set(f.defVal)
		case f.typ.Kind() == reflect.Struct && f.typ != timeType && f.typ != rawOptionsType:
			d.setDefaults(fv)
		}
	}
}

// below is the field at a path below v, and what its tags say.
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

// isScalar tells that values of t are written as one word.
func isScalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return true
	case reflect.Struct:
		return t == timeType || reflect.PointerTo(t).Implements(textType)
	default:
		return t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(textType)
	}
}

var (
	rawOptionsType = reflect.TypeFor[RawOptions]()
	patternsType   = reflect.TypeFor[Patterns]()
	exceptionsType = reflect.TypeFor[Exceptions]()
	keyType        = reflect.TypeFor[Key]()
)

// Class says what a change of a field takes.
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

// The classes, from the mildest to the strongest.
const (
	Live    Class = "live"    // from one call to the next
	Rolling Class = "rolling" // services or listeners are opened and closed, no call is lost
	Restart Class = "restart" // takes effect with the next start; until then it is pending
)
