package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// setText sets v from text as it stands in a tag or on a command line. Lists are separated by commas.
func setText(v reflect.Value, text string) (message string) {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if v.Kind() == reflect.Slice {
		for part := range strings.SplitSeq(text, ",") {
			element := reflect.New(v.Type().Elem()).Elem()
			message = setText(element, part)
			v.Set(reflect.Append(v, element))
		}
		return message
	}
	tag := plainTag(text)
	if v.Kind() == reflect.String {
		tag = "!!str"
	}
	message, _ = setScalar(v, tag, text)
	return message
}

// setScalar sets v to text, which YAML typed as tag, or says what is wrong with it.
func setScalar(v reflect.Value, tag, text string) (message, suggestion string) {
	switch t := v.Type(); {
	case t == durationType || t == stdDuration:
		parse := parseDuration
		if t == stdDuration {
			parse = parseSigned
		}
		return setParsed(tag, text, parse, func(d time.Duration) { v.SetInt(int64(d)) })
	case t == bytesType:
		return setParsed(tag, text, parseBytes, v.SetInt)
	case t == shareType:
		return setParsed(tag, text, parseShare, v.SetFloat)
	case t == rateType:
		return setParsed(tag, text, parseRate, v.SetFloat)
	case t == timeType:
		return setParsed(tag, text, parseTime, func(at time.Time) { v.Set(reflect.ValueOf(at)) })
	case reflect.PointerTo(t).Implements(textType):
		if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
			if err := u.UnmarshalText([]byte(text)); err != nil {
				return err.Error(), ""
			}
		}
		return "", ""
	case t == addressType && tag == "!!int":
		return portAlone(text), ""
	case t.Kind() == reflect.Bool:
		return setParsed(tag, text, parseBool, v.SetBool)
	case t.Kind() == reflect.String:
		return setParsed(tag, text, parseString, v.SetString)
	case v.CanInt() || v.CanUint():
		return setInt(v, tag, text)
	default:
		return setParsed(tag, text, parseFloat, v.SetFloat)
	}
}

func setInt(v reflect.Value, tag, text string) (message, suggestion string) {
	i, message, suggestion := parseInt(tag, text)
	switch {
	case message != "":
		return message, suggestion
	case v.CanUint() && i < 0:
		return "must not be negative", ""
	case v.CanUint() && v.OverflowUint(uint64(i)), v.CanInt() && v.OverflowInt(i):
		return fmt.Sprintf("%s is too large", clip(text)), ""
	case v.CanUint():
		v.SetUint(uint64(i))
	default:
		v.SetInt(i)
	}
	return "", ""
}

// setParsed hands what parse makes of text to set.
func setParsed[T any](tag, text string, parse func(tag, text string) (T, string, string), set func(T)) (message, suggestion string) {
	value, message, suggestion := parse(tag, text)
	if message == "" {
		set(value)
	}
	return message, suggestion
}

func parseBool(tag, text string) (value bool, message, suggestion string) {
	if tag == "!!bool" {
		return strings.EqualFold(text, "true"), "", ""
	}
	switch strings.ToLower(text) {
	case "yes", "on", "y", "1", "enabled", "true":
		suggestion = "true"
	case "no", "off", "n", "0", "disabled", "false":
		suggestion = "false"
	}
	return false, fmt.Sprintf("must be true or false, not %s", quoted(tag, text)), suggestion
}

func parseString(tag, text string) (value, message, suggestion string) {
	switch tag {
	case "!!int", "!!float":
		return "", fmt.Sprintf("must be a string, not the number %s: ", clip(text)) + inQuotesInstead, ""
	case "!!bool":
		return "", fmt.Sprintf("must be a string, not the boolean %s: ", clip(text)) + inQuotesInstead, ""
	}
	return text, "", ""
}

func parseInt(tag, text string) (value int64, message, suggestion string) {
	f, message, suggestion := parseFloat(tag, text)
	if message != "" {
		return 0, strings.Replace(message, "a number", "an integer", 1), suggestion
	}
	if i, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64); err == nil {
		return i, "", ""
	}
	switch {
	case f != math.Trunc(f) || math.IsInf(f, 0) || math.IsNaN(f):
		return 0, fmt.Sprintf("must be an integer, not %s", clip(text)), ""
	case math.Abs(f) > 1<<53:
		return 0, fmt.Sprintf("%s is too large", clip(text)), ""
	}
	return int64(f), "", ""
}

func parseFloat(tag, text string) (value float64, message, suggestion string) {
	digits := strings.ReplaceAll(text, "_", "")
	if i, err := strconv.ParseInt(digits, 0, 64); err == nil && strings.ContainsAny(digits, "xXoObB") {
		return 0, fmt.Sprintf("must be a decimal number, not %s", quoted(tag, text)), strconv.FormatInt(i, 10)
	}
	if tag != "!!int" && tag != "!!float" {
		message = fmt.Sprintf("must be a number, not %s", quoted(tag, text))
		switch f, err := strconv.ParseFloat(digits, 64); {
		case err == nil && (math.IsInf(f, 0) || math.IsNaN(f)):
			return 0, fmt.Sprintf("must be a finite number, not %s", text), ""
		case err == nil && plainTag(text) == "!!str":
			return 0, message, strconv.FormatFloat(f, 'f', -1, 64)
		case err == nil:
			return 0, message + ": " + withoutQuotes, ""
		case errors.Is(err, strconv.ErrRange):
			return 0, fmt.Sprintf("%s is out of range", clip(text)), ""
		}
		return 0, message, withSuffix(text)
	}
	if len(digits) > 1 && digits[0] == '0' && digits[1] != '.' && digits[1] != 'e' && digits[1] != 'E' {
		return octal(text, strings.TrimLeft(digits, "0"))
	}
	switch strings.ToLower(strings.TrimLeft(digits, "+-")) {
	case ".inf", ".nan":
		return 0, fmt.Sprintf("must be a finite number, not %s", text), ""
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || math.IsInf(f, 0) {
		return 0, fmt.Sprintf("%s is out of range", clip(text)), ""
	}
	return f, "", ""
}

// octal is for numbers that begin with a zero, which are octal for some readers.
func octal(text, decimal string) (value float64, message, suggestion string) {
	n, err := strconv.ParseInt(decimal, 8, 64)
	if err != nil || decimal == strconv.FormatInt(n, 10) {
		return 0, fmt.Sprintf("%s has a leading zero", clip(text)), decimal
	}
	return 0, fmt.Sprintf("%s may be octal: %s or %d?", clip(text), decimal, n), ""
}

// withSuffix is what 10k and 2M stand for, and 50% where a percentage is a number.
func withSuffix(text string) string {
	if digits, ok := strings.CutSuffix(text, "%"); ok && plainTag(digits) == "!!int" {
		return digits
	}
	for suffix, zeros := range map[string]string{"k": "000", "K": "000", "M": "000000"} {
		digits, ok := strings.CutSuffix(text, suffix)
		if _, err := strconv.ParseUint(digits, 10, 32); ok && err == nil {
			return digits + zeros
		}
	}
	return ""
}

func quoted(tag, text string) string {
	if slices.Contains([]string{"!!int", "!!float", "!!bool"}, tag) {
		return clip(text)
	}
	return strconv.Quote(clip(text))
}

// clip is what a message repeats of a text that stands in a file.
func clip(s string) string { return code.Clip(s, 64) }
