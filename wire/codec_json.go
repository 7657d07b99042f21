package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"github.com/easymicro/easymicro/wire/code"
)

// The JSON of encoding/json, which stock peers have, but strict where leniency lets two readers of one payload see
// different values.
var (
	jsonStrict = json.JoinOptions(jsonv1.DefaultOptionsV1(),
		jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(false))

	// jsonFast leaves out the first of encoding/json's two passes, which only serves to leave the target untouched when
	// the syntax is wrong further on.
	jsonFast = json.JoinOptions(jsonStrict, jsonv1.ReportErrorsWithLegacySemantics(false))
)

var errEmpty = errors.New("it is empty")

func appendJSON(dst []byte, v any) ([]byte, error) {
	return appendWith(dst, func(b *bytes.Buffer) error { return json.MarshalWrite(b, v, jsonStrict) })
}

func decodeJSON(data []byte, v any) error {
	if len(data) == 0 {
		return errEmpty
	}
	err := json.Unmarshal(data, v, jsonFast)
	if err == nil {
		return nil
	}
	// Struct tags that encoding/json overlooks are errors in the fast way. Such types are rare, and so are bad payloads.
	if sem := new(json.SemanticError); errors.As(err, &sem) && json.Unmarshal(data, v, jsonStrict) == nil {
		return nil
	}
	return jsonProblem(err)
}

// jsonProblem says where and of which kind an error is. The texts of the library are not passed on, since they quote
// values.
func jsonProblem(err error) error {
	syn, sem := new(jsontext.SyntacticError), new(json.SemanticError)
	switch {
	case errors.As(err, &syn):
		return fmt.Errorf("%s at byte %d%s", jsonSyntax(syn), syn.ByteOffset, at(syn.JSONPointer))
	case errors.As(err, &sem) && sem.GoType != nil:
		return fmt.Errorf("no %v can be made of the %s at byte %d%s", sem.GoType, kindName(sem.JSONKind), sem.ByteOffset, at(sem.JSONPointer))
	case errors.As(err, &sem):
		return fmt.Errorf("the %s at byte %d%s does not fit", kindName(sem.JSONKind), sem.ByteOffset, at(sem.JSONPointer))
	}
	return errors.New("it does not fit")
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
