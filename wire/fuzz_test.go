package wire

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/easymicro/easymicro/samples/serialize/pb"
	"github.com/easymicro/easymicro/samples/serialize/th"
	"github.com/easymicro/easymicro/wire/code"
)

// boundedAllocation fails if f allocates too much for n bytes from a peer. It retries, since other allocations count, too.
func boundedAllocation(t *testing.T, n int, f func()) {
	t.Helper()
	allocationWithin(t, n, 16*n+64<<10, f)
}

// decodesWithin fails when decoding a peer's payload allocates more than it may.
func decodesWithin(t *testing.T, b []byte, decode func() error) {
	t.Helper()
	allocationWithin(t, len(b), min(max(16*len(b), 4<<20), 16<<20)+64<<10, func() { checkFuzzed(t, decode()) })
}

func allocationWithin(t *testing.T, n, most int, f func()) {
	t.Helper()
	limit := uint64(most)
	if underRace { // the detector pads what is allocated, and pools drop at random
		limit *= 2
	}
	var used uint64
	for range 3 {
		if used = allocated(f); used <= limit {
			return
		}
	}
	t.Fatalf("%d bytes of input took %d", n, used)
}

func addFrames(f *testing.F) {
	f.Helper()
	for _, b := range goldenFrames(f) {
		f.Add(b)
	}
	paths, err := filepath.Glob(filepath.Join("testdata", "frames", "*.hex"))
	if err != nil || len(paths) == 0 {
		f.Fatal(err)
	}
	for _, path := range paths {
		b, _ := hexFile(f, path)
		f.Add(b)
	}
}

var fuzzLimits = Limits{MaxMessageBytes: 1 << 20, MaxNameBytes: 50}

// FuzzFrame: every byte string is frames or a typed error, the same from a slice and from a connection, and a frame
// that parses is encoded to one that parses to the same.
func FuzzFrame(f *testing.F) {
	addFrames(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		boundedAllocation(t, len(b), func() { parseAndRead(t, b) })
	})
}

func parseAndRead(t *testing.T, b []byte) {
	r := NewReader(bytes.NewReader(b), fuzzLimits)
	defer r.Release()
	var read Frame
	for rest := b; ; {
		frame, next, err := ParseFrame(rest, fuzzLimits)
		readErr := r.Read(&read)
		var bad, readBad *FrameError
		switch {
		case err == nil:
			if readErr != nil || !bytes.Equal(AppendFrame(nil, &read), AppendFrame(nil, &frame)) {
				t.Fatalf("read %+v, %v; parsed %+v", read, readErr, frame)
			}
			again, left, err := ParseFrame(AppendFrame(nil, &frame), fuzzLimits)
			if err != nil || len(left) != 0 || !bytes.Equal(AppendFrame(nil, &again), AppendFrame(nil, &frame)) {
				t.Fatalf("%+v became %+v, %v", frame, again, err)
			}
		case errors.As(err, &bad):
			if errors.As(readErr, &readBad) && !sameFault(readBad, bad) {
				t.Fatalf("read %v, parsed %v", readErr, err)
			}
			if bad.Fatal || readBad == nil {
				return
			}
		case err == io.ErrUnexpectedEOF: //nolint:errorlint // the bare value is promised
			if readErr == nil {
				t.Fatalf("read %+v, parsed %v", read, err)
			}
			return
		default:
			t.Fatalf("untyped %v", err)
		}
		rest = next
	}
}

func sameFault(a, b *FrameError) bool {
	return a.Reason == b.Reason && a.Fatal == b.Fatal && (a.Answer == nil) == (b.Answer == nil)
}

// FuzzMetadata: every block is pairs or a typed error, and what was read is written back.
func FuzzMetadata(f *testing.F) {
	for _, b := range goldenFrames(f) {
		frame, _, err := ParseFrame(b, Limits{})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(metadataBlock(frame.Metadata))
	}
	f.Add([]byte("\x00\x00\x00\x01k\x00\x00\x00\x01v\x00\x00\x00\x01k\x00\x00\x00\x01w"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Add([]byte("\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		boundedAllocation(t, len(b), func() {
			m, bad := appendMetadata(nil, string(b), 64)
			if bad != nil {
				if bad.Reason != badMetadata && bad.Reason != metadataTooLarge {
					t.Fatal(bad)
				}
				return
			}
			again, bad := appendMetadata(nil, string(metadataBlock(m)), 64)
			if bad != nil || !bytes.Equal(metadataBlock(again), metadataBlock(m)) {
				t.Fatalf("%v became %v, %v", m, again, bad)
			}
			if got := metadataBlock(m); len(got) > len(b) {
				t.Fatalf("%d bytes became %d", len(b), len(got))
			}
		})
	})
}

func metadataBlock(m Metadata) (b []byte) {
	for _, p := range m {
		b = appendBlock(appendBlock(b, p[0]), p[1])
	}
	return b
}

func FuzzGzip(f *testing.F) { fuzzCompression(f, Gzip) }

func FuzzZstd(f *testing.F) { fuzzCompression(f, Zstd) }

// fuzzCompression: every byte string decompresses to at most the limit or fails with a code, and is itself compressed and back.
func fuzzCompression(f *testing.F, c Compression) {
	for _, src := range [][]byte{nil, []byte("text"), bytes.Repeat([]byte("easymicro "), 400), noise(300), make([]byte, 200_000)} {
		b, err := AppendCompressed(nil, c, src)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(append(b, b...))
	}
	f.Add(bomb(f, c, 1<<20))
	const limit = 64 << 10
	f.Fuzz(func(t *testing.T, b []byte) {
		boundedAllocation(t, len(b)+limit, func() {
			out, err := Decompress(nil, c, b, limit)
			checkCoded(t, err)
			if len(out) > limit {
				t.Fatalf("%d bytes", len(out))
			}
			packed, err := AppendCompressed(nil, c, b)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := Decompress(nil, c, packed, len(b)); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("%d bytes became %d, %v", len(b), len(again), err)
			}
		})
	})
}

func checkCoded(t *testing.T, err error) {
	t.Helper()
	var e *code.Error
	if err != nil && (!errors.As(err, &e) || !code.NotRun(e.Reason)) {
		t.Fatalf("untyped %v", err)
	}
}

// fuzzCodec: every payload is values or a coded error; what was read is written and read again without a change.
func fuzzCodec(f *testing.F, c Codec, values ...func() any) {
	for _, b := range goldenFrames(f) {
		if frame, _, err := ParseFrame(b, Limits{}); err == nil && frame.Compression == NoCompression {
			f.Add(frame.Payload)
		}
	}
	seeds, err := os.ReadDir(filepath.Join("testdata", "payloads", c.String()))
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range seeds {
		b, _ := hexFile(f, filepath.Join("testdata", "payloads", c.String(), s.Name()))
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, value := range values {
			var v any
			boundedAllocation(t, len(b), func() {
				v = value()
				err = Decode(c, b, v)
			})
			checkCoded(t, err)
			if err == nil {
				checkStable(t, c, v, value())
			}
		}
	})
}

// checkStable writes v, reads it into again and compares what both are written as.
func checkStable(t *testing.T, c Codec, v, again any) {
	t.Helper()
	first, err := Append(c, nil, v)
	if err != nil {
		t.Fatalf("%v cannot be written: %v", v, err)
	}
	if err := Decode(c, first, again); err != nil {
		t.Fatalf("% x cannot be read: %v", first, err)
	}
	if second, err := Append(c, nil, again); err != nil || !bytes.Equal(first, second) {
		t.Fatalf("% x became % x, %v", first, second, err)
	}
}

// payload has a field of each kind that costs memory.
type payload struct {
	A, B  int
	Text  string
	Bytes []byte
	List  []int64
	Inner *payload
	More  []payload
}

func FuzzCodecRaw(f *testing.F) {
	fuzzCodec(f, Raw, func() any { return new([]byte) }, func() any { return new(string) })
}

func FuzzCodecJSON(f *testing.F) {
	fuzzCodec(f, JSON, func() any { return new(args) }, func() any { return new(tagged) })
}

func FuzzCodecProtobuf(f *testing.F) {
	fuzzCodec(f, Protobuf, func() any { return new(pb.Args) })
}

func FuzzCodecMsgpack(f *testing.F) {
	fuzzCodec(f, Msgpack, func() any { return new(args) })
}

// fuzzCostly has types whose values take much more memory than their payloads are long.
func fuzzCostly(f *testing.F, c Codec, values map[string]func() any) {
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, value := range values {
			decodesWithin(t, b, func() error { return Decode(c, b, value()) })
		}
	})
}

func FuzzCodecMsgpackNested(f *testing.F) {
	f.Add([]byte("\xdd\xff\xff\xff\xff"))
	f.Add([]byte("\xc7\x05\x00\xdf\xff\xff\xff\xff"))
	f.Add(nestedMsgpack(2000))
	f.Add([]byte("\x81\xa4More\x92\x81\xa4List\x93\x01\x02\x03\xc0"))
	f.Add(msgpackItems("\x80", 30_000))
	f.Add(msgpackEntries("\xc0", 3000))
	f.Add([]byte("\x81\xa1k\xd7\xff\xdf\xff\xff\xff\x01\x01\x01\x01"))
	f.Add([]byte("\x82\x90\xc0\xc4\x00\xc0"))
	values := costlyTypes()
	values["payload"] = func() any { return new(payload) }
	values["itself"] = func() any { return new(untyped) }
	values["any keys"] = func() any { return new(map[any]any) }
	fuzzCostly(f, Msgpack, values)
}

func FuzzCodecJSONNested(f *testing.F) {
	f.Add(jsonItems("{}", 30_000))
	f.Add(jsonEntries("[0,[]]", 3000))
	f.Add([]byte(`{"items":[{"Inner":{"\u0049nner":{}}},null,"x\"",-1e3]} `))
	f.Add([]byte(`{"items":[1,2,3],"ITEMS":["a"],"Items":[]}`))
	values := costlyTypes()
	values["payload"] = func() any { return new(payload) }
	values["alike"] = func() any {
		return new(struct {
			A []int64  `json:"items"`
			B []string `json:"ITEMS"`
		})
	}
	fuzzCostly(f, JSON, values)
}

func FuzzCodecProtobufNested(f *testing.F) {
	f.Add(bytes.Repeat([]byte("\x22\x02\x12\x00"), 10_000))
	f.Add(bytes.Repeat([]byte("\x0a\x04\x12\x02\x20\x01"), 10_000))
	f.Add(nestedProtobuf(20))
	f.Add([]byte(strings.Repeat("\x50\x01", 3000) + strings.Repeat("\x52\x01\x01", 3000)))
	f.Add([]byte(strings.Repeat("\x22\x00", 3000) + strings.Repeat("\x23\x0a\x01a\x24\x18\x01\x21abcdefgh", 3000)))
	f.Add(append(bytes.Repeat([]byte{0x0c}, 2000), nestedBytes(2000)...))
	fuzzCostly(f, Protobuf, map[string]func() any{
		"descriptor": func() any { return new(descriptorpb.FileDescriptorProto) },
		"list":       func() any { return new(structpb.ListValue) },
		"map":        func() any { return new(structpb.Struct) },
		"older":      func() any { return new(oldArgs) },
		"options":    func() any { return new(descriptorpb.MessageOptions) },
	})
}

// FuzzCodecHTTPNested: what HTTP callers send for messages costs no more than it may either.
func FuzzCodecHTTPNested(f *testing.F) {
	f.Add(anysInJSON(20, `{"x":"`+strings.Repeat("a", 30_000)+`"}`))
	f.Add([]byte(`{"@type":"type.googleapis.com/google.protobuf.FileDescriptorProto","messageType":[{},{"field":[{}]}]}`))
	f.Add([]byte(`{"k":[0,{"x":null}],"k2":0}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, m := range []proto.Message{new(anypb.Any), new(structpb.Struct), new(descriptorpb.FileDescriptorProto)} {
			for _, decode := range []func([]byte, any) error{DecodeHTTP, DecodeKnown} {
				decodesWithin(t, b, func() error { return decode(b, m.ProtoReflect().New().Interface()) })
			}
		}
	})
}

func FuzzCodecThriftNested(f *testing.F) {
	f.Add(thriftItems(30_000))
	f.Add(nestedThrift(20))
	fuzzCostly(f, Thrift, map[string]func() any{"list": func() any { return new(thriftList) }})
}

// checkFuzzed is checkCoded for errors of decoders, which know what is too large.
func checkFuzzed(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		checkRefused(t, err)
	}
}

func FuzzCodecThrift(f *testing.F) {
	fuzzCodec(f, Thrift, func() any { return new(th.Args) })
}
