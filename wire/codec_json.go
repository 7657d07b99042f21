package wire

import (
	"encoding"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/easymicro/easymicro/wire/code"
)

// JSON as encoding/json has it, which stock peers use, but strict where lenient parsers could disagree about a value.
var (
	jsonStrict = json.JoinOptions(jsonv1.DefaultOptionsV1(),
		jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(false))

	// jsonFast skips the first of encoding/json's two passes, which only leaves the target unchanged on a syntax error.
	jsonFast = json.JoinOptions(jsonStrict, jsonv1.ReportErrorsWithLegacySemantics(false))
)

func appendJSON(dst []byte, v any) ([]byte, error) {
	if err := jsonEncodable.check(v); err != nil {
		return dst, err
	}
	return appendWith(dst, func(w *sink) error { return json.MarshalWrite(w, v, jsonStrict) })
}

// decodeJSON decodes in one pass, or in two if the plan requires it.
func decodeJSON(data []byte, v any, p *plan, more ...json.Options) error {
	if len(data) == 0 {
		return errEmpty
	}
	how := jsonFast
	if p.allErrors {
		how = jsonStrict
	}
	err := json.Unmarshal(data, v, append(more[:len(more):len(more)], how)...)
	if err == nil {
		return nil
	}
	if unknown := unknownMember(err, data, p.root); unknown != nil {
		return unknown
	}
	return jsonProblem(err)
}

// jsonNeedsAllErrors reports whether a struct has tags that encoding/json ignores and jsonFast rejects.
func jsonNeedsAllErrors(t reflect.Type) bool {
	return json.Unmarshal([]byte("{}"), reflect.New(t).Interface(), jsonFast) != nil
}

// jsonProblem describes an error and its position without the library's text, which quotes values.
func jsonProblem(err error) error {
	syn, sem, old := new(jsontext.SyntacticError), new(json.SemanticError), new(jsonv1.UnmarshalTypeError)
	switch {
	case errors.As(err, &syn):
		return fmt.Errorf("%s at byte %d%s", jsonSyntax(syn), syn.ByteOffset, at(syn.JSONPointer))
	case errors.As(err, &sem):
		place := fmt.Sprintf(" at byte %d%s", sem.ByteOffset, at(sem.JSONPointer))
		if sem.GoType == nil {
			return fmt.Errorf("invalid %s%s", kindName(sem.JSONKind), place)
		}
		return &typeError{what: describeMismatch(sem.JSONKind, sem.GoType, sem.Err, place), goType: sem.GoType}
	case errors.As(err, &old):
		return &typeError{what: describeMismatchV1(old), goType: old.Type}
	}
	return errors.New("does not match the type")
}

// describeMismatch describes what was expected instead of a value.
func describeMismatch(got jsontext.Kind, t reflect.Type, cause error, place string) string {
	wanted, name := wantedFor(t), kindName(got)
	switch {
	case wanted == "" || wanted == "an object" && got == '{' || wanted == withArticle(name) && cause != nil:
		return "invalid " + name + place
	case wanted == anInteger && got == '0' && cause != nil:
		return "expected " + wanted + rangeOf(t) + place
	case wanted == withArticle(name) || wanted == anInteger && got == '0': // as a tag of the field says
		return "expected " + wanted + " in a string, got " + withArticle(name) + place
	}
	return "expected " + wanted + ", got " + withArticle(name) + place
}

// describeMismatchV1 is describeMismatch for an error of encoding/json, which names the kind of the value in words.
func describeMismatchV1(err *jsonv1.UnmarshalTypeError) string {
	got, number, _ := strings.Cut(err.Value, " ")
	kinds := map[string]jsontext.Kind{"null": 'n', "bool": 't', "string": '"', "number": '0', "object": '{', "array": '['}
	var cause error
	if number != "" {
		cause = strconv.ErrRange // the text contains the number, which must not be repeated
	}
	path := jsontext.Pointer("/" + strings.ReplaceAll(err.Field, ".", "/"))
	return describeMismatch(kinds[got], err.Type, cause, fmt.Sprintf(" before byte %d%s", err.Offset, at(path)))
}

const anInteger = "an integer"

var (
	jsonUnmarshaler = reflect.TypeFor[interface{ UnmarshalJSON([]byte) error }]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// wantedFor returns what a type accepts, in terms of JSON; "" for a type that decodes itself.
func wantedFor(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	pointer := reflect.PointerTo(t)
	switch {
	case t == timeType:
		return "a time like \"2026-12-31T00:00:00Z\""
	case pointer.Implements(jsonUnmarshaler):
		return ""
	case pointer.Implements(textUnmarshaler):
		return "a string in a specific format"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "a boolean"
	case reflect.String:
		return "a string"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "a string in base64"
		}
		return "an array"
	case reflect.Array:
		return "an array of " + strconv.Itoa(t.Len())
	}
	if isWhole(t) {
		return anInteger
	}
	return ""
}

func isWhole(t reflect.Type) bool { return t.Kind() >= reflect.Int && t.Kind() <= reflect.Uintptr }

// rangeOf returns the range of an integer type.
func rangeOf(t reflect.Type) string {
	if t.Kind() >= reflect.Uint {
		return " from 0 to " + strconv.FormatUint(math.MaxUint64>>(64-t.Bits()), 10)
	}
	largest := int64(math.MaxInt64) >> (64 - t.Bits())
	return fmt.Sprintf(" from %d to %d", -largest-1, largest)
}

func withArticle(name string) string {
	if name == "object" || name == "array" {
		return "an " + name
	}
	if name == "null" {
		return name
	}
	return "a " + name
}

func jsonSyntax(err *jsontext.SyntacticError) string {
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return "duplicate name"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "unexpected end"
	}
	return "invalid syntax"
}

func at(p jsontext.Pointer) string {
	if p == "" {
		return ""
	}
	return " (in " + strconv.Quote(code.Clip(string(p), 64)) + ")"
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "boolean"
	case '"':
		return "string"
	case '0':
		return "number"
	case '{', '}':
		return "object"
	case '[', ']':
		return "array"
	}
	return "value"
}

// protojsonProblem keeps only the position of an error, since the rest quotes values.
func protojsonProblem(err error) error {
	_, rest, ok := strings.Cut(err.Error(), "(line ")
	place, _, closed := strings.Cut(rest, ")")
	if !ok || !closed || strings.Trim(place, "0123456789:") != "" {
		return errors.New("not valid JSON for this message")
	}
	return errors.New("not valid JSON for this message at line " + place)
}

func decodeProtojson(data []byte, m proto.Message, discard bool) error {
	if len(data) == 0 {
		return invalidPayload(JSON.String(), errEmpty)
	}
	o := protojson.UnmarshalOptions{DiscardUnknown: discard, RecursionLimit: maxDepth}
	if err := o.Unmarshal(data, m); err != nil {
		return invalidPayload(JSON.String(), protojsonProblem(err))
	}
	return nil
}
