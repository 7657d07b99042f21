package wire

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/easymicro/easymicro/samples/serialize/pb"
	"github.com/easymicro/easymicro/wire/code"
)

// oldArgs is a message as golang/protobuf generated it before version 1.4: fields with tags and three methods.
type oldArgs struct {
	A                    int32            `protobuf:"varint,1,opt,name=A,proto3" json:"A,omitempty"`
	B                    int32            `protobuf:"varint,2,opt,name=B,proto3" json:"B,omitempty"`
	Names                []string         `protobuf:"bytes,3,rep,name=names,proto3" json:"names,omitempty"`
	Inner                *oldArgs         `protobuf:"bytes,4,opt,name=inner,proto3" json:"inner,omitempty"`
	Counts               map[string]int64 `protobuf:"bytes,5,rep,name=counts,proto3" json:"counts,omitempty" protobuf_key:"bytes,1,opt,name=key,proto3" protobuf_val:"varint,2,opt,name=value,proto3"`
	XXX_NoUnkeyedLiteral struct{}         `json:"-"`
	XXX_unrecognized     []byte           `json:"-"`
	XXX_sizecache        int32            `json:"-"`
}

func (m *oldArgs) Reset()         { *m = oldArgs{} }
func (m *oldArgs) String() string { return fmt.Sprint(m.A, m.B) }
func (*oldArgs) ProtoMessage()    {}

// gogoArgs is a message as gogo/protobuf generates it: with methods that encode it.
type gogoArgs struct {
	A int32 `protobuf:"varint,1,opt,name=A,proto3" json:"A,omitempty"`
	B int32 `protobuf:"varint,2,opt,name=B,proto3" json:"B,omitempty"`

	used int
}

func (m *gogoArgs) Reset()         { *m = gogoArgs{} }
func (m *gogoArgs) String() string { return fmt.Sprint(m.A, m.B) }
func (*gogoArgs) ProtoMessage()    {}

func (m *gogoArgs) Size() int {
	b, _ := m.encode()
	return len(b)
}

func (m *gogoArgs) Marshal() ([]byte, error) {
	m.used++
	return m.encode()
}

func (m *gogoArgs) encode() ([]byte, error) {
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(m.A))
	return protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), uint64(m.B)), nil
}

func (m *gogoArgs) Unmarshal(b []byte) error {
	m.used++
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 || kind != protowire.VarintType {
			return fmt.Errorf("bad tag")
		}
		v, k := protowire.ConsumeVarint(b[n:])
		if k < 0 {
			return fmt.Errorf("bad varint")
		}
		if b = b[n+k:]; number == 1 {
			m.A = int32(v)
		} else {
			m.B = int32(v)
		}
	}
	return nil
}

// customArgs has field types of gogo/protobuf that no other module knows.
type customArgs struct {
	Inner gogoArgs `protobuf:"bytes,1,opt,name=inner" json:"inner"`
}

func (m *customArgs) Reset()         { *m = customArgs{} }
func (m *customArgs) String() string { return "custom" }
func (*customArgs) ProtoMessage()    {}

// customGogoArgs is the same with the methods.
type customGogoArgs struct{ customArgs }

func (m *customGogoArgs) Marshal() ([]byte, error) { return m.Inner.Marshal() }
func (m *customGogoArgs) Unmarshal(b []byte) error { return m.Inner.Unmarshal(b) }

func TestMessagesOfOlderModulesAreProtobuf(t *testing.T) {
	want, err := Append(Protobuf, nil, &pb.Args{A: 73, B: 1500})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{
		&oldArgs{A: 73, B: 1500}, &gogoArgs{A: 73, B: 1500}, &customGogoArgs{customArgs{Inner: gogoArgs{A: 73, B: 1500}}},
	} {
		got, err := Append(Protobuf, []byte("x"), v)
		if err != nil || !bytes.Equal(got[1:], want) {
			t.Errorf("%T: % x, %v, want % x", v, got, err, want)
			continue
		}
		again := reflect.New(reflect.TypeOf(v).Elem()).Interface()
		if err := Decode(Protobuf, want, again); err != nil || fmt.Sprint(again) != fmt.Sprint(v) {
			t.Errorf("%T: decoded as %v, %v", v, again, err)
		}
		if err := Decode(Protobuf, []byte("\x08"), again); code.From(err).Reason != code.ReasonBadPayload {
			t.Errorf("%T: %v", v, err)
		}
	}
	g := &gogoArgs{A: 1}
	if _, err := Append(Protobuf, nil, g); err != nil || g.used != 1 {
		t.Errorf("its own method is used %d times, %v", g.used, err)
	}
	nested := &oldArgs{A: 1, Names: []string{"a", "b"}, Inner: &oldArgs{B: 2}, Counts: map[string]int64{"n": 3}}
	b, err := Append(Protobuf, nil, nested)
	if err != nil {
		t.Fatal(err)
	}
	var again oldArgs
	if err := Decode(Protobuf, b, &again); err != nil || again.Inner.B != 2 || again.Counts["n"] != 3 || len(again.Names) != 2 {
		t.Errorf("%+v, %v", &again, err)
	}
}

func TestMessagesOfOlderModulesAreJSONOverHTTP(t *testing.T) {
	for _, tt := range []struct {
		value any
		json  string
	}{
		{&oldArgs{A: 73, Names: []string{"a"}}, `{"A":73,"names":["a"]}`},
		{&gogoArgs{A: 73, B: 2}, `{"A":73,"B":2}`},
		{&customArgs{Inner: gogoArgs{A: 73}}, `{"inner":{"A":73}}`},
	} {
		b, err := AppendHTTP(nil, tt.value)
		if got := strings.ReplaceAll(string(b), " ", ""); err != nil || got != tt.json {
			t.Errorf("%T: %s, %v, want %s", tt.value, b, err, tt.json)
		}
		for name, decode := range map[string]func([]byte, any) error{"DecodeHTTP": DecodeHTTP, "DecodeKnown": DecodeKnown} {
			again := reflect.New(reflect.TypeOf(tt.value).Elem()).Interface()
			if err := decode([]byte(tt.json), again); err != nil {
				t.Errorf("%s of %T: %v", name, tt.value, err)
			}
			if b, err := AppendHTTP(nil, again); err != nil || strings.ReplaceAll(string(b), " ", "") != tt.json {
				t.Errorf("%s of %T: %s, %v", name, tt.value, b, err)
			}
		}
	}
}

func TestTypesThatAreNotProtobufAreReportedBeforeTheFirstCall(t *testing.T) {
	for _, tt := range []struct {
		args, reply any
		why         string // "" for none
	}{
		{oldArgs{}, gogoArgs{}, ""},
		{customGogoArgs{}, oldArgs{}, ""},
		{args{}, reply{}, ""},
		{oldArgs{}, struct{}{}, ""},
		{customArgs{}, oldArgs{}, "customArgs is not a message"},
		{oldArgs{}, reply{}, "reply is not"},
		{args{}, oldArgs{}, "args is not"},
	} {
		why := WhyNotProtobuf(reflect.TypeOf(tt.args), reflect.TypeOf(tt.reply))
		if (why == "") != (tt.why == "") || !strings.Contains(why, tt.why) {
			t.Errorf("%T, %T: %q", tt.args, tt.reply, why)
		}
	}
}

// recursing has an Unmarshal without a depth limit, like generated code.
type recursing struct{ gogoArgs }

func (r *recursing) Unmarshal(b []byte) error {
	_, _, n := protowire.ConsumeTag(b)
	if n < 0 {
		return nil
	}
	inner, n := protowire.ConsumeBytes(b[n:])
	if n < 0 {
		return nil
	}
	return new(recursing).Unmarshal(inner)
}

func TestUnmarshalMethodsHaveADepthLimit(t *testing.T) {
	nested := func(n int) []byte {
		var b []byte
		for range n {
			b = append([]byte{0x22}, protowire.AppendBytes(nil, b)...)
		}
		return b
	}
	if err := Decode(Protobuf, nested(maxDepth-1), new(recursing)); err != nil {
		t.Error(err)
	}
	if err := Decode(Protobuf, nested(3_000), new(recursing)); code.From(err).Reason != code.ReasonBadPayload {
		t.Errorf("got %v", err)
	}
	groups := bytes.Repeat([]byte{0x23}, 20_000)
	if err := Decode(Protobuf, groups, new(recursing)); code.From(err).Reason != code.ReasonBadPayload {
		t.Errorf("got %v", err)
	}
}
