package gateway

import (
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"unicode/utf8"
)

// form is how a text becomes a JSON value.
type form byte

const (
	asString form = iota
	asBool
	asInt
	asUint
	asFloat
	asEnum  // a number or a name
	asJSON  // an object or a list, written as JSON
	asLoose // JSON if it is that, else a string: the type decides for itself
)

var formNames = [...]string{
	asString: "a text", asBool: "true or false", asInt: "a whole number", asUint: "a whole number from 0",
	asFloat: "a number", asEnum: "a name or a number", asJSON: "a JSON value", asLoose: "a text",
}

// scalar is one value of a member.
type scalar struct {
	form   form
	bits   int
	quoted bool // the number or bool stands in a JSON string (`json:",string"`)
}

func scalarOf(t reflect.Type) scalar {
	_, isMessage := reflect.PointerTo(t).MethodByName("ProtoReflect")
	switch {
	case implements(t, jsonUnmarshaler) || isMessage || t == reflect.TypeFor[json.Number]():
		return scalar{form: asLoose}
	case implements(t, textUnmarshaler):
		return scalar{form: asString}
	}
	switch t.Kind() {
	case reflect.Bool:
		return scalar{form: asBool}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if _, isEnum := t.MethodByName("EnumDescriptor"); isEnum {
			return scalar{form: asEnum, bits: 32}
		}
		return scalar{form: asInt, bits: t.Bits()}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return scalar{form: asUint, bits: t.Bits()}
	case reflect.Float32, reflect.Float64:
		return scalar{form: asFloat, bits: t.Bits()}
	case reflect.Interface:
		return scalar{form: asLoose}
	case reflect.Struct, reflect.Map, reflect.Array:
		return scalar{form: asJSON}
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 { // bytes are base64 in JSON
			return scalar{form: asJSON}
		}
	}
	return scalar{form: asString}
}

// append adds text as a JSON value; ok is false when it is none of that form.
func (s scalar) append(dst []byte, text string) (_ []byte, ok bool) {
	if !utf8.ValidString(text) {
		return dst, false
	}
	if s.quoted && s.form != asString {
		dst, ok = scalar{form: s.form, bits: s.bits}.append(append(dst, '"'), text)
		return append(dst, '"'), ok
	}
	switch s.form {
	case asString:
	case asBool:
		return append(dst, text...), text == "true" || text == "false"
	case asInt:
		n, err := strconv.ParseInt(text, 10, s.bits)
		return strconv.AppendInt(dst, n, 10), err == nil
	case asUint:
		n, err := strconv.ParseUint(text, 10, s.bits)
		return strconv.AppendUint(dst, n, 10), err == nil
	case asFloat:
		n, err := strconv.ParseFloat(text, s.bits)
		if err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
			return dst, false
		}
		return strconv.AppendFloat(dst, n, 'g', -1, s.bits), true
	case asEnum:
		if n, err := strconv.ParseInt(text, 10, s.bits); err == nil {
			return strconv.AppendInt(dst, n, 10), true
		}
	case asJSON:
		return append(dst, text...), json.Valid([]byte(text))
	case asLoose:
		if json.Valid([]byte(text)) {
			return append(dst, text...), true
		}
	}
	return appendString(dst, text), true
}

func appendString(dst []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // of a string it cannot fail
	return append(dst, quoted...)
}
