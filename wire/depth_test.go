package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/vmihailenco/msgpack/v5"
	"google.golang.org/protobuf/types/known/structpb"
)

// anything reads a thrift struct as generated code for a type that contains itself would.
type anything struct{ depth int }

func (a *anything) Write(ctx context.Context, p thrift.TProtocol) error { return p.WriteFieldStop(ctx) }

func (a *anything) Read(ctx context.Context, p thrift.TProtocol) error {
	for {
		_, kind, _, err := p.ReadFieldBegin(ctx)
		if err != nil || kind == thrift.STOP {
			return err
		}
		inner := new(anything)
		if err := inner.Read(ctx, p); err != nil {
			return err
		}
		a.depth = inner.depth + 1
	}
}

func nestedMsgpack(n int) []byte { return append(bytes.Repeat([]byte{0x91}, n), 0xc0) }

func nestedThrift(n int) []byte {
	return append(bytes.Repeat([]byte{byte(thrift.STRUCT), 0, 1}, n), make([]byte, n+1)...)
}

// nestedProtobuf is a list in a list in a list of google.protobuf.ListValue.
func nestedProtobuf(n int) []byte {
	var inner []byte
	for range n {
		list := binary.AppendUvarint([]byte{0x32}, uint64(len(inner))) // Value.list_value
		list = append(list, inner...)
		inner = append(binary.AppendUvarint([]byte{0x0a}, uint64(len(list))), list...) // ListValue.values
	}
	return inner
}

func TestNestingIsBounded(t *testing.T) {
	nested := func(open, end string, n int) []byte {
		return []byte(strings.Repeat(open, n) + strings.Repeat(end, n))
	}
	tests := []struct {
		name string
		c    Codec
		data []byte
		into any
		ok   bool
	}{
		{"msgpack as deep as allowed", Msgpack, nestedMsgpack(maxDepth), new(any), true},
		{"msgpack one deeper", Msgpack, nestedMsgpack(maxDepth + 1), new(any), false},
		{"msgpack of 4 MiB", Msgpack, nestedMsgpack(4 << 20), new(any), false},
		{"msgpack maps of 4 MiB", Msgpack, bytes.Repeat([]byte{0x81, 0xc0}, 2<<20), new(any), false},
		{"msgpack of 4 MiB that never ends", Msgpack, bytes.Repeat([]byte{0xdd, 0xff, 0xff, 0xff, 0xff}, 800_000), new(any), false},
		{"thrift as deep as allowed", Thrift, nestedThrift(maxDepth - 1), new(anything), true},
		{"thrift one deeper", Thrift, nestedThrift(maxDepth), new(anything), false},
		{"thrift of 4 MiB", Thrift, nestedThrift(1 << 20), new(anything), false},
		{"thrift lists of 4 MiB", Thrift, append([]byte{byte(thrift.LIST), 0, 1}, bytes.Repeat([]byte{byte(thrift.LIST), 0, 0, 0, 1}, 800_000)...), new(anything), false},
		{"protobuf within", Protobuf, nestedProtobuf(maxDepth/2 - 1), new(structpb.ListValue), true},
		{"protobuf too deep", Protobuf, nestedProtobuf(maxDepth), new(structpb.ListValue), false},
		{"json within", JSON, nested("[", "]", 9_000), new(any), true},
		{"json too deep", JSON, nested("[", "]", 11_000), new(any), false},
		{"json of 4 MiB", JSON, nested("[", "]", 2<<20), new(any), false},
		{"json objects of 4 MiB", JSON, nested(`{"":`, "}", 1<<20), new(any), false},
	}
	// A decoder that followed the nesting to its end would need more stack than this.
	defer debug.SetMaxStack(debug.SetMaxStack(64 << 20))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := Decode(tt.c, tt.data, tt.into); (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestMsgpackDepthAgreesWithTheEncoder(t *testing.T) {
	values := []any{
		nil, true, 1, -1, 200, -200, 70_000, -70_000, int64(1 << 40), int64(-(1 << 40)), 1.5, float32(1.5),
		"", strings.Repeat("s", 40), strings.Repeat("s", 300), strings.Repeat("s", 70_000),
		[]byte{},
		make([]byte, 300), make([]byte, 70_000),
		make([]int, 3), make([]int, 20), make([]int, 70_000),
		map[string]int{"a": 1},
		bigMap(20), bigMap(70_000),
		msgpack.RawMessage{0xd4, 1, 2},
		msgpack.RawMessage{0xd6, 1, 2, 3, 4, 5},
		msgpack.RawMessage{0xc7, 2, 1, 0, 0},
		msgpack.RawMessage{0xc8, 0, 1, 1, 0},
		msgpack.RawMessage{0xc9, 0, 0, 0, 1, 1, 0},
	}
	b, err := msgpack.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rest := b; len(rest) > 0; n++ {
		skip, _ := msgpackValue(rest)
		if skip == 0 || skip > uint64(len(rest)) {
			t.Fatalf("lost at byte %d", len(b)-len(rest))
		}
		rest = rest[skip:]
	}
	if want := 1 + len(values) + 3 + 20 + 70_000 + 2*(1+20+70_000); n != want {
		t.Errorf("%d values, want %d", n, want)
	}
	if msgpackTooDeep(b) {
		t.Error("two levels are too deep")
	}
}

func bigMap(n int) map[int]bool {
	m := map[int]bool{}
	for i := range n {
		m[i] = true
	}
	return m
}
