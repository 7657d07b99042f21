package th

import (
	"bytes"
	"context"
	"encoding/hex"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
)

func TestStructsAreWrittenAsAThriftCompilersWould(t *testing.T) {
	tests := []struct {
		name string
		in   thrift.TStruct
		hex  string
	}{
		{"args", &Args{A: 73, B: 1500}, "08000100000049080002000005dc00"},
		{"reply", &Reply{C: 109500}, "0800010001abbc00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := thrift.NewTSerializer().Write(t.Context(), tt.in)
			if err != nil || hex.EncodeToString(got) != tt.hex {
				t.Errorf("got %x, %v", got, err)
			}
		})
	}
}

func TestUnknownFieldsAreSkipped(t *testing.T) {
	newer := &thrift.TMemoryBuffer{Buffer: new(bytes.Buffer)}
	p := thrift.NewTBinaryProtocolConf(newer, nil)
	write := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	write(p.WriteFieldBegin(ctx, "Note", thrift.STRING, 9))
	write(p.WriteString(ctx, "new"))
	write(p.WriteFieldBegin(ctx, "A", thrift.I64, 1)) // of an unexpected type
	write(p.WriteI64(ctx, 5))
	write(p.WriteFieldBegin(ctx, "B", thrift.I32, 2))
	write(p.WriteI32(ctx, 7))
	write(p.WriteFieldStop(ctx))

	var got Args
	if err := got.Read(ctx, p); err != nil || got != (Args{B: 7}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestATruncatedStructIsAnError(t *testing.T) {
	whole, err := hex.DecodeString("08000100000049080002000005dc00")
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		var a Args
		if err := thrift.NewTDeserializer().Read(t.Context(), &a, whole[:n]); err == nil {
			t.Errorf("%d of %d bytes gave %+v", n, len(whole), a)
		}
	}
}
