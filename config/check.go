package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

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

// article is a type in words, with its article.
func article(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == durationType || t == stdDuration:
		return "a duration like 500ms"
	case t == bytesType:
		return "a size like 4MiB"
	case t == shareType:
		return "a share like 50%"
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
		return "text"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		if reflect.PointerTo(t).Implements(textType) {
			return "text"
		}
		return "a mapping"
	case reflect.Interface:
		return "a value"
	default:
		return "a whole number"
	}
}
