package wire

import (
	"errors"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/easymicro/easymicro/wire/code"
)

// AppendHTTP encodes v behind dst as the JSON that HTTP callers see: protojson for protobuf messages, that of Append
// for all else. Its errors are those of Append.
func AppendHTTP(dst []byte, v any) ([]byte, error) {
	m, ok := protoMessage(v)
	if !ok {
		return Append(JSON, dst, v)
	}
	if err := checkMessage(m, true); err != nil {
		return dst, code.Errorf(code.Internal, "encode as protojson: %w", err)
	}
	out, err := protojson.MarshalOptions{}.MarshalAppend(dst, m)
	if err != nil {
		return dst, code.Errorf(code.Internal, "encode as protojson: %w", err)
	}
	return out, nil
}

// DecodeHTTP decodes what AppendHTTP encodes into the pointer v. Unknown names are overlooked. Its errors are those of
// Decode.
func DecodeHTTP(data []byte, v any) error {
	return new(Decoding).DecodeHTTP(data, v)
}

// protojsonProblem keeps of an error only the place that it names, in the form (line 1:7), since the rest quotes values.
func protojsonProblem(err error) error {
	_, rest, ok := strings.Cut(err.Error(), "(line ")
	place, _, closed := strings.Cut(rest, ")")
	if !ok || !closed || strings.Trim(place, "0123456789:") != "" {
		return errors.New("it is no JSON of this message")
	}
	return errors.New("it is no JSON of this message at line " + place)
}
