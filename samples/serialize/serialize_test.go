package serialize_test

import (
	"bytes"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/samples/serialize"
	"github.com/easymicro/easymicro/samples/serialize/pb"
	"github.com/easymicro/easymicro/samples/serialize/th"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// calls has a call for each pair of method and codec.
var calls = []struct {
	name, method string
	codec        wire.Codec
	media        string // over HTTP
	args, want   any
}{
	{"raw", "Reverse", wire.Raw, "application/octet-stream", []byte("stressed"), []byte("desserts")},
	{"json", "Mul", wire.JSON, "application/json", serialize.Args{A: 6, B: 7}, serialize.Reply{C: 42}},
	{"protobuf", "MulProtobuf", wire.Protobuf, "application/protobuf", &pb.Args{A: 6, B: 7}, &pb.Reply{C: 42}},
	{"msgpack", "Mul", wire.Msgpack, "application/msgpack", serialize.Args{A: 6, B: 7}, serialize.Reply{C: 42}},
	{"thrift", "MulThrift", wire.Thrift, "application/thrift", &th.Args{A: 6, B: 7}, &th.Reply{C: 42}},
	{"json for a protobuf method", "MulProtobuf", wire.JSON, "application/json", &pb.Args{A: 6, B: 7}, &pb.Reply{C: 42}},
	{"json for a thrift method", "MulThrift", wire.JSON, "application/json", &th.Args{A: 6, B: 7}, &th.Reply{C: 42}},
}

func encode(t *testing.T, c wire.Codec, v any) []byte {
	t.Helper()
	payload, err := wire.Append(c, nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// check decodes a reply into the type of want and compares it.
func check(t *testing.T, c wire.Codec, payload []byte, want any) {
	t.Helper()
	typ := reflect.TypeOf(want)
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	got := reflect.New(typ)
	if err := wire.Decode(c, payload, got.Interface()); err != nil {
		t.Fatalf("%v in %q", err, payload)
	}
	if m, ok := want.(proto.Message); ok {
		if !proto.Equal(got.Interface().(proto.Message), m) {
			t.Errorf("got %v, want %v", got.Interface(), want)
		}
		return
	}
	if reflect.TypeOf(want).Kind() != reflect.Pointer {
		got = got.Elem()
	}
	if !reflect.DeepEqual(got.Interface(), want) {
		t.Errorf("got %v, want %v", got.Interface(), want)
	}
}

func TestEveryCodecOverRpcx(t *testing.T) {
	c := hosttest.StartCopy(t, ".", hosttest.Options{}).Dial()
	for _, tt := range calls {
		t.Run(tt.name, func(t *testing.T) {
			var res wire.Frame
			req := wire.Frame{Service: "Codecs", Method: tt.method, Codec: tt.codec, Payload: encode(t, tt.codec, tt.args)}
			if err := c.Do(t.Context(), &req, &res); err != nil {
				t.Fatal(err)
			}
			if res.Codec != tt.codec {
				t.Errorf("answered as %s", res.Codec)
			}
			check(t, tt.codec, res.Payload, tt.want)
		})
	}
}

func TestEveryCodecOverHTTP(t *testing.T) {
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	for _, tt := range calls {
		t.Run(tt.name, func(t *testing.T) {
			if tt.codec == wire.JSON && tt.method == "MulProtobuf" {
				res, body := h.Post("/Codecs/MulProtobuf", `{"A":6,"B":7}`) // protojson: names as in the .proto file
				if res.StatusCode != http.StatusOK || strings.Join(strings.Fields(body), "") != `{"C":42}` {
					t.Errorf("%s %s", res.Status, body)
				}
				return
			}
			res, body := h.Post("/Codecs/"+tt.method, string(encode(t, tt.codec, tt.args)), "Content-Type", tt.media)
			if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != tt.media {
				t.Fatalf("%s %s %s", res.Status, res.Header.Get("Content-Type"), body)
			}
			check(t, tt.codec, []byte(body), tt.want)
		})
	}
}

func TestPayloadsMayBeCompressed(t *testing.T) {
	c := hosttest.StartCopy(t, ".", hosttest.Options{}).Dial()
	for _, compression := range []wire.Compression{wire.Gzip, wire.Zstd} {
		t.Run(compression.String(), func(t *testing.T) {
			plain := bytes.Repeat([]byte("0123456789"), 10_000)
			req := wire.Frame{Service: "Codecs", Method: "Reverse", Codec: wire.Raw, Payload: bytes.Clone(plain)}
			if err := req.Compress(compression); err != nil || req.Compression != compression || len(req.Payload) > len(plain)/10 {
				t.Fatalf("%v: %s, %d bytes", err, req.Compression, len(req.Payload))
			}
			var res wire.Frame
			if err := c.Do(t.Context(), &req, &res); err != nil {
				t.Fatal(err)
			}
			if len(res.Payload) != len(plain) || !bytes.HasPrefix(res.Payload, []byte("9876543210")) {
				t.Errorf("got %d bytes, %.20q…", len(res.Payload), res.Payload)
			}
		})
	}
}

func TestAnUnsupportedCodecIsRefused(t *testing.T) {
	c := hosttest.StartCopy(t, ".", hosttest.Options{}).Dial()
	for _, tt := range []struct {
		method string
		codec  wire.Codec
	}{{"Mul", wire.Protobuf}, {"Mul", wire.Thrift}, {"Mul", wire.Raw}, {"Mul", 9}} {
		req := wire.Frame{Service: "Codecs", Method: tt.method, Codec: tt.codec, Payload: []byte{8, 6}}
		if e := code.From(c.Do(t.Context(), &req, new(wire.Frame))); e == nil || e.Code != code.InvalidArgument {
			t.Errorf("%s as %s: %+v", tt.method, tt.codec, e)
		}
	}
}
