package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/easymicro/easymicro/wire/code"
)

// mapped decodes itself with the decoder, as most types with such a method do.
type mapped struct{ texts map[string]string }

func (m *mapped) DecodeMsgpack(d *msgpack.Decoder) error { return d.Decode(&m.texts) }

// untyped does the same with a map that the decoder makes at any length.
type untyped struct{ all map[string]any }

func (u *untyped) DecodeMsgpack(d *msgpack.Decoder) error { return d.Decode(&u.all) }

func TestMsgpackExtensionsDoNotCrashTypesThatDecodeThemselves(t *testing.T) {
	const (
		largest = "\xc7\x05\x00\xdf\xff\xff\xff\xff"
		asTime  = "\xd7\xff\xdf\xff\xff\xff\x01\x01\x01\x01"
		inList  = "\x91" + largest
		twice   = "\xc7\x08\x00" + "\xc7\x05\x00\xdf\xff\xff\xff\xff"
	)
	for _, data := range []string{largest, asTime, twice} {
		for name, v := range map[string]struct {
			data string
			into any
		}{
			"itself":    {data, new(mapped)},
			"untyped":   {data, new(untyped)},
			"a member":  {"\x81\xa5Items" + data, new(struct{ Items mapped })},
			"in a list": {"\x92\x80" + data, new([]untyped)},
			"in a map":  {"\x81\xa1k" + data, new(map[string]untyped)},
		} {
			if err := Decode(Msgpack, []byte(v.data), v.into); code.From(err).Reason != code.ReasonBadPayload {
				t.Errorf("% x, %s: %v", data, name, err)
			}
		}
	}
	if err := Decode(Msgpack, []byte("\x81\xa1k"+inList), new(untyped)); err == nil {
		t.Error("an unknown extension is decoded")
	}
}

// moment decodes itself, with a time in it.
type moment struct{ at time.Time }

func (m *moment) DecodeMsgpack(d *msgpack.Decoder) (err error) {
	m.at, err = d.DecodeTime()
	return err
}

func TestTimesThatLookLikeMapsAreDecoded(t *testing.T) {
	for _, want := range []time.Time{
		time.Unix(0x81234567, 0), time.Unix(0xdf000001, 0), time.Unix(1_700_000_000, 0x380<<20),
		time.Unix(1_700_000_000, 0x37ffffff), time.Unix(1_700_000_000, 0x20<<24), time.Unix(1_700_000_000, 5),
	} {
		data, err := Append(Msgpack, nil, []any{want, want})
		if err != nil {
			t.Fatal(err)
		}
		var own []moment
		if err := Decode(Msgpack, data, &own); err != nil || len(own) != 2 || !own[0].at.Equal(want) || !own[1].at.Equal(want) {
			t.Errorf("% x: %v, %v, want %v", data, own, err, want)
		}
		var plain []time.Time
		if err := Decode(Msgpack, data, &plain); err != nil || !plain[1].Equal(want) {
			t.Errorf("% x: %v, %v, want %v", data, plain, err, want)
		}
	}
}

func TestInvalidMsgpackMapKeysAreRefused(t *testing.T) {
	type inside struct{ X any }
	for _, data := range []string{
		"\x81\x90\xc0", "\x81\xc4\x00\xc0", "\x81\x80\xc0", "\x81\xd4\x05\x00\xc0", "\x81\x91\x01\xc0", "\x82\x01\xc0\x90\xc0",
	} {
		for _, v := range []any{new(map[any]any), new(map[any]string), new(struct{ M map[any]int })} {
			in := data
			if _, member := v.(*struct{ M map[any]int }); member {
				in = "\x81\xa1M" + data
			}
			if err := Decode(Msgpack, []byte(in), v); code.From(err).Reason != code.ReasonBadPayload {
				t.Errorf("% x into %T: %v", data, v, err)
			}
		}
	}
	for _, data := range []string{"\x81\x81\xa1X\x90\x01", "\x81\x91\x90\x01"} {
		if err := Decode(Msgpack, []byte(data), new(map[inside]int)); code.From(err).Reason != code.ReasonBadPayload {
			t.Errorf("% x in a struct: %v", data, err)
		}
		if err := Decode(Msgpack, []byte(data), new(map[[1]any]int)); code.From(err).Reason != code.ReasonBadPayload {
			t.Errorf("% x in an array: %v", data, err)
		}
	}
	var m map[any]any
	if err := Decode(Msgpack, []byte("\x84\x01\xa1a\xa1k\x90\xc3\x80\xc0\xc4\x00"), &m); err != nil || len(m) != 4 {
		t.Errorf("%v, %v", m, err)
	}
}

func TestTextIsNotMistakenForNestedMessages(t *testing.T) {
	text := func(tag byte, s string) []byte { return protowire.AppendString([]byte{tag}, s) }
	for _, s := range []string{"#", "3", "+", "k", "\x33"} {
		long := strings.Repeat(s, 3000)
		var named namedGogo
		if err := Decode(Protobuf, text(0x1a, long), &named); err != nil || named.Name != long {
			t.Errorf("a string of 3000 %q: %d bytes, %v", s, len(named.Name), err)
		}
		if err := Decode(Protobuf, protowire.AppendBytes([]byte{0x22}, text(0x1a, long)), new(namedGogo)); err != nil {
			t.Errorf("a string of 3000 %q in a message: %v", s, err)
		}
		vt := new(vtMessage)
		if err := Decode(Protobuf, text(0x1a, long), vt); err != nil {
			t.Errorf("a string of 3000 %q in a message with methods of vtprotobuf: %v", s, err)
		}
	}
	var deep []byte
	for range 3000 {
		deep = protowire.AppendBytes([]byte{0x22}, deep)
	}
	if err := Decode(Protobuf, deep, new(namedGogo)); code.From(err).Reason != code.ReasonBadPayload {
		t.Errorf("messages in messages: %v", err)
	}
	for field, tag := range map[string]byte{"a list": 0x2a, "a oneof": 0x3a} {
		inner := deep
		for range 2 {
			inner = protowire.AppendBytes([]byte{tag}, inner)
		}
		if err := Decode(Protobuf, inner, new(namedGogo)); code.From(err).Reason != code.ReasonBadPayload {
			t.Errorf("messages in %s: %v", field, err)
		}
	}
	entry := protowire.AppendBytes([]byte{0x12}, deep)
	if err := Decode(Protobuf, protowire.AppendBytes([]byte{0x32}, entry), new(namedGogo)); code.From(err).Reason != code.ReasonBadPayload {
		t.Errorf("messages in a map: %v", err)
	}
	if err := Decode(Protobuf, bytes.Repeat([]byte{0x43}, 3000), new(namedGogo)); code.From(err).Reason != code.ReasonBadPayload {
		t.Errorf("groups that are not known: %v", err)
	}
}

// namedGogo is a message whose Unmarshal has no depth limit.
type namedGogo struct {
	Name  string                `protobuf:"bytes,3,opt,name=name,proto3"`
	Inner *namedGogo            `protobuf:"bytes,4,opt,name=inner,proto3"`
	More  []*namedGogo          `protobuf:"bytes,5,rep,name=more,proto3"`
	ByKey map[string]*namedGogo `protobuf:"bytes,6,rep,name=by_key,proto3" protobuf_key:"bytes,1,opt,name=key,proto3" protobuf_val:"bytes,2,opt,name=value,proto3"`
	Kind  isNamedGogo           `protobuf_oneof:"kind"`
}

type (
	isNamedGogo   interface{ isNamedGogo() }
	namedGogoPart struct {
		Part *namedGogo `protobuf:"bytes,7,opt,name=part,proto3,oneof"`
	}
)

func (*namedGogoPart) isNamedGogo() {}

func (*namedGogo) XXX_OneofWrappers() []any { return []any{(*namedGogoPart)(nil)} }

func (*namedGogo) Marshal() ([]byte, error) { return nil, nil }

func (m *namedGogo) Unmarshal(b []byte) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 || kind != protowire.BytesType {
			return fmt.Errorf("bad tag")
		}
		data, k := protowire.ConsumeBytes(b[n:])
		if k < 0 {
			return fmt.Errorf("bad length")
		}
		b = b[n+k:]
		if number == 3 {
			m.Name = string(data)
		}
		if number != 4 {
			continue
		}
		m.Inner = new(namedGogo)
		if err := m.Inner.Unmarshal(data); err != nil {
			return err
		}
	}
	return nil
}

func TestUnmatchedEndGroupsAreMalformed(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(16 << 20))
	data := bytes.Repeat([]byte{0x0c}, 200_000)
	data = append(data, nestedBytes(150_000)...)
	if err := Decode(Protobuf, data, new(namedGogo)); code.From(err).Reason != code.ReasonBadPayload {
		t.Errorf("got %v", err)
	}
	if protobufTooDeep(data, 0, nil) {
		t.Error("what is malformed is taken for nested")
	}
}

// nestedBytes nests n fields 4 in each other.
func nestedBytes(n int) []byte {
	heads := make([][]byte, 0, n)
	total := 0
	for range n {
		head := protowire.AppendVarint([]byte{0x22}, uint64(total))
		heads = append(heads, head)
		total += len(head)
	}
	b := make([]byte, 0, total)
	for i := range heads {
		b = append(b, heads[n-1-i]...)
	}
	return b
}

func TestMixedFieldsOfMessagesStayWithinTheMemoryLimit(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates too")
	}
	descriptor := func() any { return new(descriptorpb.FileDescriptorProto) }
	r := strings.Repeat
	for name, data := range map[string]string{
		"packed behind unpacked":    r("\x50\x01", 420_000) + r("\x52\x01\x01", 200),
		"unpacked and packed":       r("\x50\x01\x52\x01\x01", 5000),
		"empty ones behind":         r("\x50\x01", 100_000) + r("\x52\x00", 100_000),
		"a string as a number":      r("\x1a\x00", 110_000) + r("\x08\x01", 400_000),
		"a list of strings as such": r("\x22\x00", 15_000) + r("\x18\x01", 400_000),
		"a message as a fixed":      r("\x22\x00", 15_000) + r("\x21abcdefgh", 80_000),
		"a message as a group":      r("\x22\x00", 15_000) + r("\x23\x0a\x08abcdefgh\x24", 60_000),
		"a number as a fixed":       r("\x22\x00", 15_000) + r("\x51abcdefgh", 80_000),
		"a bool as bytes":           r("\x22\x00", 15_000) + r("\x52\x08\xff\xff\xff\xff\xff\xff\xff\xff", 80_000),
	} {
		t.Run(name, func(t *testing.T) {
			_ = Decode(Protobuf, []byte(data[:40]), descriptor())
			checkAllowance(t, Protobuf, []byte(data), descriptor)
		})
	}
}

const anyURL = "type.googleapis.com/google.protobuf.Any"

func anysInJSON(n int, inside string) []byte {
	return []byte(strings.Repeat(`{"@type":"`+anyURL+`","value":`, n) + inside + strings.Repeat("}", n))
}

func anysInAnys(n int) *anypb.Any {
	a := &anypb.Any{}
	var heads [][]byte
	var total int
	for range n - 1 {
		head := protowire.AppendString([]byte{0x0a}, anyURL)
		head = protowire.AppendVarint(append(head, 0x12), uint64(total))
		heads = append(heads, head)
		total += len(head)
	}
	for i := range heads {
		a.Value = append(a.Value, heads[len(heads)-1-i]...)
	}
	a.TypeUrl = anyURL
	return a
}

func TestNestedAnysAreBounded(t *testing.T) {
	long := strings.Repeat("a", 1<<20)
	for name, data := range map[string][]byte{
		"an unknown member in 300":  anysInJSON(300, `{"x":"`+long+`"}`),
		"a member that is escaped":  bytes.ReplaceAll(anysInJSON(300, `{"x":"`+long+`"}`), []byte("@type"), []byte(`\u0040type`)),
		"the type behind the value": []byte(strings.Repeat(`{"value":`, 300) + `{"x":"` + long + `"}` + strings.Repeat(`,"@type":"`+anyURL+`"}`, 300)),
		"many messages":             fmt.Appendf(nil, `{"@type":"type.googleapis.com/google.protobuf.FileDescriptorProto","messageType":[{}%s]}`, strings.Repeat(",{}", 60_000)),
		"one of a long text":        []byte(`{"@type":"type.googleapis.com/google.protobuf.Value","value":"` + long + `"}`),
	} {
		t.Run(name, func(t *testing.T) {
			checkAllowed(t, data, func() error { return DecodeHTTP(data, new(anypb.Any)) })
		})
	}
	for _, data := range [][]byte{anysInJSON(5, `{}`), []byte(`{"@type":"type.googleapis.com/google.protobuf.Value","value":"x"}`), []byte(`{"@type":"type.googleapis.com/google.protobuf.FileDescriptorProto","name":"x","package":"` + long[:100_000] + `"}`)} {
		if err := DecodeHTTP(data, new(anypb.Any)); err != nil {
			t.Errorf("%.60s: %v", data, err)
		}
	}
	deep := anysInAnys(10_000)
	var out []byte
	var err error
	used := allocated(func() { out, err = AppendHTTP([]byte("x"), deep) })
	if code.Of(err) != code.Internal || string(out) != "x" || used > 64<<20 {
		t.Errorf("%d bytes, %d allocated, %v", len(out), used, err)
	}
	holder, err := structpb.NewStruct(map[string]any{"a": 1})
	if err != nil {
		t.Fatal(err)
	}
	inner, err := anypb.New(holder)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []proto.Message{anysInAnys(5), inner} {
		b, err := AppendHTTP(nil, m)
		if err != nil || !json.Valid(b) {
			t.Errorf("%s, %v", b, err)
		}
	}
}

// shallowVT has the methods of vtprotobuf but is not a proto.Message.
type shallowVT struct{ Next *shallowVT }

func (m *shallowVT) SizeVT() int {
	if m == nil {
		return 0
	}
	return 2 + m.Next.SizeVT()
}

func (m *shallowVT) MarshalToSizedBufferVT(b []byte) (int, error) { return len(b), nil }

func (m *shallowVT) UnmarshalVT(b []byte) error { return new(recursing).Unmarshal(b) }

func TestMethodsOfVtprotobufHaveADepthLimit(t *testing.T) {
	if err := Decode(Protobuf, nestedBytes(maxDepth-1), new(shallowVT)); err != nil {
		t.Error(err)
	}
	if err := Decode(Protobuf, nestedBytes(3000), new(shallowVT)); code.From(err).Reason != code.ReasonBadPayload {
		t.Errorf("got %v", err)
	}
	ring := new(shallowVT)
	ring.Next = ring
	if _, err := Append(Protobuf, nil, ring); code.Of(err) != code.Internal {
		t.Errorf("got %v", err)
	}
	// One that is a message too is left to the module, which knows what is nested.
	if err := Decode(Protobuf, append([]byte{0x0a}, protowire.AppendBytes(nil, bytes.Repeat([]byte{0x23}, 3000))...), new(vtMessage)); err != nil {
		t.Error(err)
	}
}

func TestTooCostlyPayloadsNameTheLimit(t *testing.T) {
	data := msgpackItems("\x80", 100_000)
	into := func() any { return new(struct{ Items []costly }) }
	for _, tt := range []struct {
		limit, n int
		at       bool
	}{{0, 100 << 10, false}, {0, 1 << 20, true}, {1 << 20, 100, true}, {64 << 20, 2 << 20, false}, {-1, 1 << 30, false}} {
		if d := (Decoding{MaxBytes: tt.limit}); d.AtLimit(tt.n) != tt.at {
			t.Errorf("%d bytes with a limit of %d: %v", tt.n, tt.limit, !tt.at)
		}
	}
	byLength := Decode(Msgpack, data, into())
	if e := code.From(byLength); e.Reason != code.ReasonTooLarge || !strings.Contains(e.Message, "for its length") {
		t.Errorf("got %v", byLength)
	}
	byLimit := (&Decoding{MaxBytes: 1 << 20}).Decode(Msgpack, data, into())
	if e := code.From(byLimit); e.Reason != code.ReasonTooLarge || strings.Contains(e.Message, "length") {
		t.Errorf("got %v", byLimit)
	}
	for c, data := range map[Codec][]byte{Msgpack: data, JSON: jsonItems(`{"a":1}`, 100_000), Thrift: thriftItems(100_000)} {
		v := into()
		if c == Thrift {
			v = new(thriftList)
		}
		if err := (&Decoding{MaxBytes: -1}).Decode(c, data, v); err != nil {
			t.Errorf("%v without a bound: %v", c, err)
		}
	}
}
