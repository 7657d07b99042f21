package wire

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/easymicro/easymicro/samples/serialize/pb"
	"github.com/easymicro/easymicro/samples/serialize/th"
)

// benchFrame is as long as the request of the public benchmark of rpcx.
func benchFrame() Frame {
	return Frame{
		Codec: Protobuf, Seq: 7, Service: "Hello", Method: "Say",
		Metadata: Metadata{{MetaTimeout, "4999"}}, Payload: noise(581),
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	f := benchFrame()
	buf := AppendFrame(nil, &f)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendFrame(buf[:0], &f)
	}
}

func BenchmarkParseFrame(b *testing.B) {
	f := benchFrame()
	buf := AppendFrame(nil, &f)
	lim := Limits{}.WithDefaults()
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ParseFrame(buf, lim); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReader(b *testing.B) {
	for _, size := range []struct {
		name    string
		payload int
	}{{"581B", 581}, {"8KiB", 8 << 10}, {"256KiB", 256 << 10}} {
		b.Run(size.name, func(b *testing.B) {
			f := benchFrame()
			f.Payload = make([]byte, size.payload)
			buf := AppendFrame(nil, &f)
			r := NewReader(&repeat{b: buf}, Limits{})
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Read(&f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCodec(b *testing.B) {
	raw := noise(16)
	for _, bb := range []struct {
		codec Codec
		value any
		fresh func() any
	}{
		{Raw, &raw, func() any { return new([]byte) }},
		{JSON, &args{73, 1500}, func() any { return new(args) }},
		{Protobuf, &pb.Args{A: 73, B: 1500}, func() any { return new(pb.Args) }},
		{Msgpack, &args{73, 1500}, func() any { return new(args) }},
		{Thrift, &th.Args{A: 73, B: 1500}, func() any { return new(th.Args) }},
	} {
		buf, err := Append(bb.codec, nil, bb.value)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("Append/"+bb.codec.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if buf, err = Append(bb.codec, buf[:0], bb.value); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("Decode/"+bb.codec.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := Decode(bb.codec, buf, bb.fresh()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a server adds to decoding: it finds out what the message will allocate.
func BenchmarkDecodingAllow(b *testing.B) {
	text, yes := proto.String(string(noise(20))), proto.Bool(true)
	message := &descriptorpb.FileOptions{
		JavaPackage: text, JavaOuterClassname: text, JavaMultipleFiles: yes, JavaStringCheckUtf8: yes, GoPackage: text,
		CcGenericServices: yes, JavaGenericServices: yes, PyGenericServices: yes, Deprecated: yes, CcEnableArenas: yes,
		ObjcClassPrefix: text, CsharpNamespace: text, SwiftPrefix: text, PhpClassPrefix: text, PhpNamespace: text,
		PhpMetadataNamespace: text, RubyPackage: text,
	}
	data, err := Append(Protobuf, nil, message)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	d := Decoding{Account: new(account)}
	for b.Loop() {
		if _, _, err := d.allow(Protobuf, false, data, message); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompression(b *testing.B) {
	src := []byte(strings.Repeat(`{"name":"easymicro","value":109500},`, 200))
	for _, c := range []Compression{Gzip, Zstd} {
		packed, err := AppendCompressed(nil, c, src)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("Compress/"+c.String(), func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				if packed, err = AppendCompressed(packed[:0], c, src); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("Decompress/"+c.String(), func(b *testing.B) {
			dst := bytes.Clone(src)
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				if dst, err = Decompress(dst[:0], c, packed, len(src)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
