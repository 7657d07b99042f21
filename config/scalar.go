package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// setText sets v from the text of a tag or a flag. Elements of a list are separated by commas.
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

// setScalar sets v to text with the YAML type tag, or returns what is wrong.
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
	case t == memoryLimitType:
		return setParsed(tag, text, parseMemoryLimit, v.SetInt)
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

// setParsed parses text and passes the value to set.
func setParsed[T any](tag, text string, parse func(tag, text string) (T, string, string), set func(T)) (message, suggestion string) {
	value, message, suggestion := parse(tag, text)
	if message == "" {
		set(value)
	}
	return message, suggestion
}

var (
	durationType    = reflect.TypeFor[Duration]()
	stdDuration     = reflect.TypeFor[time.Duration]()
	bytesType       = reflect.TypeFor[Bytes]()
	memoryLimitType = reflect.TypeFor[MemoryLimit]()
	shareType       = reflect.TypeFor[Share]()
	rateType        = reflect.TypeFor[Rate]()
	addressType     = reflect.TypeFor[Address]()
	timeType        = reflect.TypeFor[time.Time]()
	textType        = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// MemoryLimit is a size, MemoryLimitAuto or MemoryLimitOff.
type MemoryLimit int64

// Memory limits other than a size.
const (
	MemoryLimitAuto MemoryLimit = 0
	MemoryLimitOff  MemoryLimit = -1
)

// String returns the limit as it is written.
func (l MemoryLimit) String() string {
	switch l {
	case MemoryLimitAuto:
		return "auto"
	case MemoryLimitOff:
		return "off"
	}
	return Bytes(l).String()
}

// parseMemoryLimit parses auto, off and sizes.
func parseMemoryLimit(tag, text string) (value int64, message, suggestion string) {
	const form = "must be auto, off or a size like 1GiB, not %s"
	switch word := strings.ToLower(text); word {
	case "auto", "off":
		if text != word {
			return 0, fmt.Sprintf(form, quoted(tag, text)), word
		}
		return int64(map[string]MemoryLimit{"auto": MemoryLimitAuto, "off": MemoryLimitOff}[word]), "", ""
	case "none", "max", "unlimited", "disabled", "false", "no", "0", "-1":
		return 0, fmt.Sprintf(form, quoted(tag, text)), "off"
	}
	if _, _, ok := split(text); !ok {
		return 0, fmt.Sprintf(form, quoted(tag, text)), Suggest(text, []string{"auto", "off"})
	}
	value, message, suggestion = parseBytes(tag, text)
	switch {
	case strings.HasPrefix(message, "must be a size"):
		message = fmt.Sprintf(form, quoted(tag, text))
	case message == "" && (value < 1<<20 || value > 1<<40):
		message = fmt.Sprintf("must be from 1MiB to 1TiB, not %s", clip(text))
	}
	return value, message, suggestion
}

// coreTags are the tags of YAML that a file may use.
var coreTags = []string{"!!str", "!!int", "!!float", "!!bool", "!!timestamp", "!!seq", "!!map"}
