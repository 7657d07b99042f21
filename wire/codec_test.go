package wire

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/easymicro/easymicro/samples/serialize/pb"
	"github.com/easymicro/easymicro/samples/serialize/th"
	"github.com/easymicro/easymicro/wire/code"
)

type args struct{ A, B int }

type reply struct{ C int }

// recorded finds the i-th frame of a recorded conversation.
func recorded(t testing.TB, peer, name string, i int) Frame {
	t.Helper()
	for _, c := range conversations(t) {
		if strings.HasPrefix(c.Peer, peer) && c.Name == name {
			f, _, err := ParseFrame(unhex(t, c.Frames[i].Hex), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	t.Fatalf("no conversation %s of %s", name, peer)
	return Frame{}
}

func TestRecordedPayloadsDecodeAndEncodeAsTheirPeersDid(t *testing.T) {
	rawBytes := []byte("raw bytes \x00\x01\xff")
	tests := []struct {
		peer, name string
		frame      int
		want       any
		canonical  bool // the peer's encoding is ours
	}{
		{"rpcx", "json-mul", 0, &args{73, 1500}, true},
		{"rpcx", "json-mul", 1, &reply{109500}, true},
		{"rpcx", "msgpack-mul", 0, &args{73, 1500}, true},
		{"rpcx", "msgpack-mul", 1, &reply{109500}, true},
		{"rpcx", "protobuf-mul", 0, &pb.Args{A: 73, B: 1500}, true},
		{"rpcx", "protobuf-mul", 1, &pb.Reply{C: 109500}, true},
		{"rpcx", "thrift-mul", 0, &th.Args{A: 73, B: 1500}, true},
		{"rpcx", "thrift-mul", 1, &th.Reply{C: 109500}, true},
		{"rpcx", "raw-echo", 0, &rawBytes, true},
		{"easymicro", "em-json-mul", 0, &args{73, 1500}, true},
		{"easymicro", "em-msgpack-mul", 0, &args{73, 1500}, false},
		{"easymicro", "em-msgpack-mul", 1, &reply{109500}, false},
	}
	for _, tt := range tests {
		t.Run(tt.peer+"/"+tt.name, func(t *testing.T) {
			f := recorded(t, tt.peer, tt.name, tt.frame)
			got := reflect.New(reflect.TypeOf(tt.want).Elem()).Interface()
			if err := Decode(f.Codec, f.Payload, got); err != nil {
				t.Fatal(err)
			}
			if !same(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			b, err := Append(f.Codec, []byte("in front"), tt.want)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(b, []byte("in front")) {
				t.Fatalf("what was in front is gone: %q", b)
			}
			if b = b[len("in front"):]; tt.canonical && !bytes.Equal(b, f.Payload) {
				t.Errorf("encoded % x, the peer % x", b, f.Payload)
			}
		})
	}
}

func same(a, b any) bool {
	if m, ok := a.(proto.Message); ok {
		return proto.Equal(m, b.(proto.Message))
	}
	return reflect.DeepEqual(a, b)
}

func TestDecodeErrorsHaveTheirCodeAndReason(t *testing.T) {
	tests := []struct {
		name   string
		codec  Codec
		data   string
		into   any
		reason string
	}{
		{"no json", JSON, "{", new(args), code.ReasonBadPayload},
		{"empty json", JSON, "", new(args), code.ReasonBadPayload},
		{"json behind json", JSON, "{} {}", new(args), code.ReasonBadPayload},
		{"json of another type", JSON, `{"A":"x"}`, new(args), code.ReasonBadPayload},
		{"raw into a struct", Raw, "raw", new(args), code.ReasonBadPayload},
		{"protobuf into a struct", Protobuf, "", new(args), code.ReasonBadPayload},
		{"no protobuf", Protobuf, "\xff", new(pb.Args), code.ReasonBadPayload},
		{"thrift into a struct", Thrift, "\x00", new(args), code.ReasonBadPayload},
		{"empty thrift", Thrift, "", new(th.Args), code.ReasonBadPayload},
		{"bytes behind thrift", Thrift, "\x00\x00", new(th.Args), code.ReasonBadPayload},
		{"negative length in thrift", Thrift, "\x0b\x00\x09\xff\xff\xff\xff\x00", new(th.Args), code.ReasonBadPayload},
		{"list of 2 GiB in thrift", Thrift, "\x0f\x00\x09\x08\x7f\xff\xff\xff\x00", new(th.Args), code.ReasonBadPayload},
		{"list of nothing in thrift", Thrift, "\x0f\x00\x09\x01\x7f\xff\xff\xff\x00", new(th.Args), code.ReasonBadPayload},
		{"empty msgpack", Msgpack, "", new(args), code.ReasonBadPayload},
		{"bytes behind msgpack", Msgpack, "\x80\x80", new(args), code.ReasonBadPayload},
		{"msgpack of another type", Msgpack, "\x81\xa1A\xa1x", new(args), code.ReasonBadPayload},
		{"msgpack array of 4 Gi", Msgpack, "\xdd\xff\xff\xff\xff", new(any), code.ReasonBadPayload},
		{"msgpack map of 4 Gi", Msgpack, "\xdf\xff\xff\xff\xff", new(any), code.ReasonBadPayload},
		{"msgpack string of 4 GiB", Msgpack, "\xdb\xff\xff\xff\xff", new(any), code.ReasonBadPayload},
		{"codec 5", 5, "{}", new(args), code.ReasonUnknownCodec},
		{"codec 15", 15, "", new(args), code.ReasonUnknownCodec},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Decode(tt.codec, []byte(tt.data), tt.into)
			var e *code.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want a *code.Error", err)
			}
			if e.Code != code.InvalidArgument || e.Reason != tt.reason {
				t.Errorf("got %v %s (%v), want INVALID_ARGUMENT %s", e.Code, e.Reason, e, tt.reason)
			}
		})
	}
}

func TestDecodeErrorsRepeatNoValues(t *testing.T) {
	const secret = "hunter2"
	tests := []struct {
		codec Codec
		data  string
		into  any
	}{
		{JSON, `{"A":"hunter2"}`, new(args)},
		{JSON, `{"A":hunter2}`, new(args)},
		{JSON, `{"A":1,"B":"hunter2`, new(args)},
		{Msgpack, "\x81\xa1A\xa7hunter2", new(args)},
		{Protobuf, "\x0a\x07hunter2\xff", new(pb.Args)},
		{Thrift, "\x0b\x00\x01\x00\x00\x00\x07hunter2", new(th.Args)},
	}
	for _, tt := range tests {
		err := Decode(tt.codec, []byte(tt.data), tt.into)
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%v: %v", tt.codec, err)
		}
	}
	for _, data := range []string{`{"A":"hunter2"}`, `{"A":hunter2}`} {
		err := DecodeHTTP([]byte(data), new(pb.Args))
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("protojson: %v", err)
		}
		if err != nil && !strings.Contains(err.Error(), "line 1:") {
			t.Errorf("protojson: %v does not say where", err)
		}
	}
}

func TestDecodeKeepsNoPartOfThePayload(t *testing.T) {
	data := []byte("payload")
	var b []byte
	if err := Decode(Raw, data, &b); err != nil {
		t.Fatal(err)
	}
	data[0] = 'X'
	if string(b) != "payload" {
		t.Errorf("got %q", b)
	}
}

func TestAppendLeavesDstUnchangedOnFailure(t *testing.T) {
	for _, c := range []Codec{Raw, JSON, Protobuf, Msgpack, Thrift} {
		out, err := Append(c, []byte("in front"), make(chan int))
		if code.Of(err) != code.Internal {
			t.Errorf("%v: got %v, want INTERNAL", c, err)
		}
		if string(out) != "in front" {
			t.Errorf("%v: got %q", c, out)
		}
	}
	if _, err := Append(7, nil, "x"); code.From(err).Reason != code.ReasonUnknownCodec {
		t.Errorf("got %v, want unknown_codec", err)
	}
}

func TestHTTPCallersSeeProtobufMessagesAsProtojson(t *testing.T) {
	type object struct{ C int }
	tests := []struct {
		in   any
		want string
	}{
		{&pb.Reply{C: 6}, `{"C":6}`},
		{&object{6}, `{"C":6}`},
	}
	for _, tt := range tests {
		b, err := AppendHTTP(nil, tt.in)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.ReplaceAll(string(b), " ", ""); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
	var m pb.Args
	if err := DecodeHTTP([]byte(`{"A":"73","b":1,"new":{}}`), &m); err != nil || m.A != 73 {
		t.Errorf("got %v, %v: protojson takes numbers in strings and overlooks unknown names", &m, err)
	}
}

// vtMessage has the methods of vtprotobuf and counts their use.
type vtMessage struct {
	pb.Args
	used int
}

func (m *vtMessage) SizeVT() int { return proto.Size(&m.Args) }

func (m *vtMessage) MarshalToSizedBufferVT(b []byte) (int, error) {
	m.used++
	return len(b), errOf(proto.MarshalOptions{}.MarshalAppend(b[:0], &m.Args))
}

func (m *vtMessage) UnmarshalVT(b []byte) error {
	m.used++
	return proto.Unmarshal(b, &m.Args)
}

func errOf(_ []byte, err error) error { return err }

func TestMethodsOfVtprotobufAreUsed(t *testing.T) {
	in := &vtMessage{}
	in.A, in.B = 73, 1500
	b, err := Append(Protobuf, []byte("x"), in)
	if err != nil || string(b) != "x\x08\x49\x10\xdc\x0b" || in.used != 1 {
		t.Errorf("got % x, %v, used %d times", b, err, in.used)
	}
	var out vtMessage
	if err := Decode(Protobuf, b[1:], &out); err != nil || out.A != 73 || out.used != 1 {
		t.Errorf("got %v, %v, used %d times", &out.Args, err, out.used)
	}
	long, err := proto.Marshal(&pb.Args{A: 1})
	if err != nil {
		t.Fatal(err)
	}
	long = append(long, bytes.Repeat([]byte{0x18, 0}, vtMaxBytes)...) // an unknown field 3
	out = vtMessage{}
	if err := Decode(Protobuf, long, &out); err != nil || out.used != 0 {
		t.Errorf("%v; UnmarshalVT has no limit of depth, but was used %d times for a long payload", err, out.used)
	}
}
