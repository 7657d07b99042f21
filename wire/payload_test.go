package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/easymicro/easymicro/wire/code"
)

// CostlyPart is exported, as embedded structs of arguments are.
type CostlyPart struct{ A, B, C, D int }

type costly struct {
	A, B, C, D int
	Name       string
	Inner      *costly
}

// costlyTypes have a member Items whose elements cost much more than they take in a payload.
func costlyTypes() map[string]func() any {
	return map[string]func() any{
		"structs":        func() any { return new(struct{ Items []costly }) },
		"pointers":       func() any { return new(struct{ Items []*costly }) },
		"maps":           func() any { return new(struct{ Items []map[string]costly }) },
		"map":            func() any { return new(struct{ Items map[string]costly }) },
		"map of any":     func() any { return new(struct{ Items map[string]any }) },
		"any":            func() any { return new(struct{ Items any }) },
		"anys":           func() any { return new(struct{ Items []any }) },
		"strings":        func() any { return new(struct{ Items []string }) },
		"string":         func() any { return new(struct{ Items string }) },
		"bytes":          func() any { return new(struct{ Items []byte }) },
		"integers":       func() any { return new(struct{ Items []int64 }) },
		"lists":          func() any { return new(struct{ Items [][]int8 }) },
		"arrays":         func() any { return new(struct{ Items [][64]int }) },
		"pointers twice": func() any { return new(struct{ Items []**[32]int }) },
		"embedded":       func() any { return new(struct{ Items []struct{ *CostlyPart } }) },
		"nothing":        func() any { return new(struct{ Others int }) },
		"only any":       func() any { return new(any) },
	}
}

func msgpackItems(fill string, n int) []byte {
	b := append([]byte("\x81\xa5Items\xdd"), 0, 0, 0, 0)
	binary.BigEndian.PutUint32(b[len(b)-4:], uint32(n))
	return append(b, strings.Repeat(fill, n)...)
}

func msgpackEntries(value string, n int) []byte {
	b := append([]byte("\x81\xa5Items\xdf"), 0, 0, 0, 0)
	binary.BigEndian.PutUint32(b[len(b)-4:], uint32(n))
	for i := range n {
		b = append(b, fmt.Sprintf("\xa5%05x", i)...)
		b = append(b, value...)
	}
	return b
}

func jsonItems(fill string, n int) []byte {
	return []byte(`{"Items":[` + strings.TrimSuffix(strings.Repeat(fill+",", n), ",") + `]}`)
}

func jsonEntries(value string, n int) []byte {
	var b strings.Builder
	b.WriteString(`{"Items":{`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%x":%s`, i, value)
	}
	b.WriteString(`}}`)
	return []byte(b.String())
}

// checkAllowance decodes data, and fails if that allocates more than allowed.
func checkAllowance(t *testing.T, c Codec, data []byte, value func() any) {
	t.Helper()
	checkAllowed(t, data, func() error { return Decode(c, data, value()) })
}

func checkAllowed(t *testing.T, data []byte, decode func() error) {
	t.Helper()
	limit := uint64(min(max(16*len(data), 4<<20), 16<<20)) + 64<<10 // a little for what is pooled
	var used uint64
	for range 3 { // others may allocate meanwhile
		used = allocated(func() {
			if err := decode(); err != nil {
				checkRefused(t, err)
			}
		})
		if used <= limit {
			return
		}
	}
	t.Errorf("%d bytes of input took %d, at most %d were allowed", len(data), used, limit)
}

func checkRefused(t *testing.T, err error) {
	t.Helper()
	e := code.From(err)
	bad := e.Code == code.InvalidArgument && e.Reason == code.ReasonBadPayload
	large := e.Code == code.ResourceExhausted && e.Reason == code.ReasonTooLarge
	if !bad && !large {
		t.Errorf("%v %s: %v", e.Code, e.Reason, err)
	}
}

func long() bool { return os.Getenv("TEST_EASYMICRO_LONG") != "" }

// lengths yields numbers of elements, few of them unless there is time.
func lengths() func(yield func(int) bool) {
	step := 20
	if long() {
		step = 2
	}
	return func(yield func(int) bool) {
		for n := 1 << 10; n <= 1<<19; n = n*step + n/13 {
			if !yield(n) {
				return
			}
		}
	}
}

// longest is the longest payload that is tried. From 1 MiB on all may take the same.
func longest() int {
	if long() {
		return 8 << 20
	}
	return 3 << 19
}

func TestDecodingStaysWithinTheMemoryLimit(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates too")
	}
	payloads := map[Codec]map[string]func(n int) []byte{Msgpack: {}, JSON: {}}
	for _, fill := range []string{"\xc0", "\x00", "\x80", "\x90", "\xa0", "\xa1x", "\x81\xa1A\x01", "\x91\x01", "\x81\xa1k\x80", "\xcb00000000"} {
		payloads[Msgpack][fmt.Sprintf("% x", fill)] = func(n int) []byte { return msgpackItems(fill, n) }
	}
	for _, value := range []string{"\xc0", "\x01", "\x80"} {
		payloads[Msgpack][fmt.Sprintf("entries of % x", value)] = func(n int) []byte { return msgpackEntries(value, n) }
	}
	for _, fill := range []string{"0", "null", "{}", "[]", `""`, `"ab"`, `"\u0061"`, `{"A":1}`, `{"a":1}`, `[0]`, `{"k":{}}`, `{"Inner":{}}`, `{"\u0049nner":{}}`} {
		payloads[JSON][fill] = func(n int) []byte { return jsonItems(fill, n) }
	}
	for _, value := range []string{"0", "{}", "null"} {
		payloads[JSON]["entries of "+value] = func(n int) []byte { return jsonEntries(value, n) }
	}
	payloads[Msgpack]["text"] = func(n int) []byte {
		b := binary.BigEndian.AppendUint32([]byte("\x81\xa5Items\xdb"), uint32(n))
		return append(b, make([]byte, n)...)
	}
	payloads[JSON]["text"] = func(n int) []byte { return []byte(`{"Items":"` + strings.Repeat("text", n/4) + `"}`) }
	for c, of := range payloads {
		for name, payload := range of {
			var inputs [][]byte // once for all types: they take longer to make than to decode
			for n := range lengths() {
				if data := payload(n); len(data) <= longest() {
					inputs = append(inputs, data)
				}
			}
			for kind, value := range costlyTypes() {
				t.Run(c.String()+"/"+kind+"/"+name, func(t *testing.T) {
					_ = Decode(c, payload(3), value()) // the type is known from now on
					for _, data := range inputs {
						checkAllowance(t, c, data, value)
					}
				})
			}
		}
	}
}

func TestMessagesStayWithinTheMemoryLimit(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates too")
	}
	for name, tt := range map[string]struct {
		fill  string
		value func() any
	}{
		"empty messages":    {"\x22\x00", func() any { return new(descriptorpb.FileDescriptorProto) }},
		"nested messages":   {"\x22\x02\x12\x00", func() any { return new(descriptorpb.FileDescriptorProto) }},
		"empty strings":     {"\x1a\x00", func() any { return new(descriptorpb.FileDescriptorProto) }},
		"strings":           {"\x1a\x02ab", func() any { return new(descriptorpb.FileDescriptorProto) }},
		"packed":            {"\x52\x04\x01\x02\x03\x04", func() any { return new(descriptorpb.FileDescriptorProto) }},
		"unpacked":          {"\x50\x01", func() any { return new(descriptorpb.FileDescriptorProto) }},
		"unknown fields":    {"\x98\x06\x01", func() any { return new(descriptorpb.FileDescriptorProto) }},
		"values":            {"\x0a\x00", func() any { return new(structpb.ListValue) }},
		"values of a kind":  {"\x0a\x02\x20\x01", func() any { return new(structpb.ListValue) }},
		"entries":           {"\x0a\x00", func() any { return new(structpb.Struct) }},
		"entries of values": {"\x0a\x04\x12\x02\x20\x01", func() any { return new(structpb.Struct) }},
	} {
		t.Run(name, func(t *testing.T) {
			_ = Decode(Protobuf, []byte(tt.fill), tt.value())
			for n := range lengths() {
				if n*len(tt.fill) <= longest() {
					checkAllowance(t, Protobuf, []byte(strings.Repeat(tt.fill, n)), tt.value)
				}
			}
		})
	}
}

func TestMessagesInJSONStayWithinTheMemoryLimit(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates too")
	}
	for _, tt := range []struct {
		format string
		fill   string
		value  func() any
	}{
		{`{"messageType":[%s]}`, "{}", func() any { return new(descriptorpb.FileDescriptorProto) }},
		{`{"message_type":[%s]}`, `{"field":[{}]}`, func() any { return new(descriptorpb.FileDescriptorProto) }},
		{`{"dependency":[%s]}`, `""`, func() any { return new(descriptorpb.FileDescriptorProto) }},
		{`{"publicDependency":[%s]}`, `1`, func() any { return new(descriptorpb.FileDescriptorProto) }},
		{`{"x":[%s]}`, `{"a":1}`, func() any { return new(structpb.Struct) }},
		{`[%s]`, `null`, func() any { return new(structpb.ListValue) }},
		{`[%s]`, `[]`, func() any { return new(structpb.ListValue) }},
	} {
		t.Run(tt.fill, func(t *testing.T) {
			if err := DecodeHTTP(fmt.Appendf(nil, tt.format, tt.fill), tt.value()); err != nil {
				t.Fatal(err)
			}
			for n := range lengths() {
				data := fmt.Appendf(nil, tt.format, strings.TrimSuffix(strings.Repeat(tt.fill+",", n), ","))
				if len(data) > longest() {
					break
				}
				checkAllowed(t, data, func() error { return DecodeHTTP(data, tt.value()) })
			}
		})
	}
}

// thriftList is read as generated code reads a list of structs: it is made at its length.
type thriftList struct {
	Items []*thriftItem `thrift:"Items,7"`
}

type thriftItem struct{ Data [10]int64 }

func (l *thriftList) Write(ctx context.Context, p thrift.TProtocol) error {
	return p.WriteFieldStop(ctx)
}

func (l *thriftList) Read(ctx context.Context, p thrift.TProtocol) error {
	for {
		_, kind, id, err := p.ReadFieldBegin(ctx)
		if err != nil || kind == thrift.STOP {
			return err
		}
		if id != 7 || kind != thrift.LIST {
			if err := p.Skip(ctx, kind); err != nil {
				return err
			}
			continue
		}
		_, n, err := p.ReadListBegin(ctx)
		if err != nil {
			return err
		}
		l.Items = make([]*thriftItem, 0, n)
		for range n {
			l.Items = append(l.Items, new(thriftItem))
			if err := p.Skip(ctx, thrift.STRUCT); err != nil {
				return err
			}
		}
	}
}

func thriftItems(n int) []byte {
	b := binary.BigEndian.AppendUint32([]byte{byte(thrift.LIST), 0, 7, byte(thrift.STRUCT)}, uint32(n))
	return append(b, make([]byte, n+1)...)
}

func TestThriftStaysWithinTheMemoryLimit(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates too")
	}
	for n := range lengths() {
		checkAllowance(t, Thrift, thriftItems(n), func() any { return new(thriftList) })
	}
	if err := Decode(Thrift, thriftItems(100), new(thriftList)); err != nil {
		t.Error(err)
	}
}

// TestABombIsRefusedBeforeItIsDecoded has 15 KiB that were 3.3 GiB in memory.
func TestABombIsRefusedBeforeItIsDecoded(t *testing.T) {
	bomb, err := AppendCompressed(nil, Gzip, msgpackItems("\xc0", 15<<20))
	if err != nil || len(bomb) > 64<<10 {
		t.Fatal(len(bomb), err)
	}
	plain, err := Decompress(nil, Gzip, bomb, 16<<20)
	if err != nil {
		t.Fatal(err)
	}
	var v struct{ Items []costly }
	used := allocated(func() { err = Decode(Msgpack, plain, &v) })
	if e := code.From(err); err == nil || e.Code != code.ResourceExhausted || e.Reason != code.ReasonTooLarge {
		t.Errorf("got %v", err)
	}
	if !underRace && used > 1<<20 {
		t.Errorf("the refusal took %d bytes", used)
	}
}

type ordinary struct {
	ID    int
	Name  string
	Price float64
	Tags  []string
}

// TestOrdinaryMessagesOfAnyLengthFit has the longest messages of the default limits.
func TestOrdinaryMessagesOfAnyLengthFit(t *testing.T) {
	type catalog struct{ Items []ordinary }
	var in catalog
	for i := range 40_000 {
		in.Items = append(in.Items, ordinary{ID: i + 12345, Name: "a name of some length", Price: 12.5, Tags: []string{"blue", "large"}})
	}
	for _, c := range []Codec{JSON, Msgpack} {
		data, err := Append(c, nil, &in)
		if err != nil || len(data) < 2<<20 || len(data) > 4<<20 {
			t.Fatalf("%v: %d bytes, %v", c, len(data), err)
		}
		var out catalog
		if err := Decode(c, data, &out); err != nil || !reflect.DeepEqual(in, out) {
			t.Errorf("%v: %d of %d items of %d bytes, %v", c, len(out.Items), len(in.Items), len(data), err)
		}
	}
	numbers := []byte(`{"Items":[` + strings.TrimSuffix(strings.Repeat("12345,", 700_000), ",") + "]}")
	var list struct{ Items []int }
	if err := Decode(JSON, numbers, &list); err != nil || len(list.Items) != 700_000 {
		t.Errorf("%d numbers of %d bytes: %v", len(list.Items), len(numbers), err)
	}
}

type account struct {
	charged int
	err     error
}

func (a *account) Charge(n int) error {
	a.charged += n
	return a.err
}

func (a *account) Free() int { return 4 << 10 }

func TestDecodingIsCharged(t *testing.T) {
	full := errors.New("full")
	for _, tt := range []struct {
		name  string
		c     Codec
		data  []byte
		value func() any
		least int
	}{
		{"msgpack", Msgpack, msgpackItems("\x80", 10_000), func() any { return new(struct{ Items []costly }) }, 10_000 * 56},
		{"json", JSON, jsonItems("{}", 10_000), func() any { return new(struct{ Items []costly }) }, 10_000 * 56},
		{"protobuf", Protobuf, bytes.Repeat([]byte("\x22\x00"), 10_000), func() any { return new(descriptorpb.FileDescriptorProto) }, 10_000 * 100},
		{"thrift", Thrift, thriftItems(10_000), func() any { return new(thriftList) }, 10_000 * 88},
		{"a short one", JSON, []byte(`{"Others":1}`), func() any { return new(struct{ Others int }) }, 0},
	} {
		var a account
		if err := (&Decoding{Account: &a}).Decode(tt.c, tt.data, tt.value()); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if a.charged < tt.least || tt.least == 0 && a.charged != 0 {
			t.Errorf("%s: %d bytes are charged, want at least %d", tt.name, a.charged, tt.least)
		}
		v := tt.value()
		a = account{err: full}
		if err := (&Decoding{Account: &a}).Decode(tt.c, tt.data, v); tt.least > 0 && (err == nil || !isEmpty(v)) {
			t.Errorf("%s: decoded without room: %v", tt.name, err)
		}
	}
}

func TestOrdinaryMessagesOfOtherCodecsFit(t *testing.T) {
	file := &descriptorpb.FileDescriptorProto{Name: proto.String("orders.proto")}
	values := &structpb.ListValue{}
	for i := range 4_000 {
		m := &descriptorpb.DescriptorProto{Name: proto.String(fmt.Sprint("a message of some length ", i))}
		for range 3 {
			m.Field = append(m.Field, &descriptorpb.FieldDescriptorProto{Name: proto.String("a field of some length"), Number: proto.Int32(1234), TypeName: proto.String("orders.Item")})
		}
		file.MessageType = append(file.MessageType, m)
		file.PublicDependency = append(file.PublicDependency, int32(i), int32(i))
		values.Values = append(values.Values, structpb.NewStringValue(strings.Repeat("a text of an ordinary length ", 3)))
	}
	for name, m := range map[string]proto.Message{"a descriptor": file, "values": values} {
		again := m.ProtoReflect().New().Interface()
		data, err := Append(Protobuf, nil, m)
		if err != nil || len(data) < 300_000 {
			t.Fatalf("%d bytes, %v", len(data), err)
		}
		if err := Decode(Protobuf, data, again); err != nil || !proto.Equal(m, again) {
			t.Errorf("%s of %d bytes: %v", name, len(data), err)
		}
		over := m.ProtoReflect().New().Interface()
		if data, err = AppendHTTP(nil, m); err != nil {
			t.Fatal(err)
		}
		for _, decode := range []func([]byte, any) error{DecodeHTTP, DecodeKnown} {
			proto.Reset(over)
			if err := decode(data, over); err != nil || !proto.Equal(m, over) {
				t.Errorf("%s of %d bytes over HTTP: %v", name, len(data), err)
			}
		}
	}
	var items []byte
	const n = 20_000
	items = binary.BigEndian.AppendUint32([]byte{byte(thrift.LIST), 0, 7, byte(thrift.STRUCT)}, n)
	for range n {
		items = append(items, byte(thrift.STRING), 0, 1, 0, 0, 0, 40)
		items = append(items, make([]byte, 40+1)...)
	}
	if err := Decode(Thrift, append(items, 0), new(thriftList)); err != nil {
		t.Errorf("thrift: %v", err)
	}
}

// TestOrdinaryPayloadsAreChargedWhatTheyAllocate has payloads for which the worst of their length would be many times as much.
func TestOrdinaryPayloadsAreChargedWhatTheyAllocate(t *testing.T) {
	type parts struct{ Items []CostlyPart }
	of := func(v any) func() any { return func() any { return reflect.New(reflect.TypeOf(v).Elem()).Interface() } }
	for _, tt := range []struct {
		c     Codec
		value any
	}{
		{JSON, &parts{Items: []CostlyPart{{1, 2, 3, 4}, {10, 20, 30, 40}, {100, 200, 300, 400}}}},
		{Msgpack, &parts{Items: []CostlyPart{{1, 2, 3, 4}, {10, 20, 30, 40}, {100, 200, 300, 400}}}},
		{JSON, &struct{ Items []ordinary }{[]ordinary{{ID: 1, Name: strings.Repeat("name ", 50)}}}},
		{Msgpack, &struct{ Items map[string]string }{map[string]string{"a": strings.Repeat("name ", 50)}}},
		{Protobuf, &descriptorpb.FileDescriptorProto{Name: proto.String(strings.Repeat("name ", 50))}},
	} {
		data, err := Append(tt.c, nil, tt.value)
		if err != nil {
			t.Fatal(err)
		}
		var a account
		if err := (&Decoding{Account: &a}).Decode(tt.c, data, of(tt.value)()); err != nil || a.charged > 2<<10+4*len(data) {
			t.Errorf("%v: %d bytes are charged for %d, %v", tt.c, a.charged, len(data), err)
		}
	}
}

func TestListsAreAllocatedOnlyWhenTheyAreCharged(t *testing.T) {
	numbers := []byte(`{"Items":[` + strings.TrimSuffix(strings.Repeat("12345,", 700_000), ",") + "]}")
	var list struct{ Items []int }
	a := account{err: errors.New("full")}
	var err error
	used := allocated(func() { err = (&Decoding{Account: &a}).Decode(JSON, numbers, &list) })
	if err == nil || list.Items != nil || !underRace && used > 1<<20 {
		t.Errorf("%d bytes taken, room for %d, %v", used, cap(list.Items), err)
	}
}

func TestNamesThatDifferInCaseOnlyAreDistinguished(t *testing.T) {
	data := []byte(`{"items":[` + strings.TrimSuffix(strings.Repeat("12345,", 700_000), ",") + "]}")
	var v struct {
		A []int64  `json:"items"`
		B []string `json:"ITEMS"`
	}
	if err := Decode(JSON, data, &v); err != nil || len(v.A) != 700_000 || v.B != nil {
		t.Errorf("%d, %v, %v", len(v.A), v.B == nil, err)
	}
	type both struct {
		ID  int `json:"id"`
		Alt int `json:"ID"`
	}
	for _, n := range []int{0, 20 << 10, 1 << 20} {
		var b both
		if err := Decode(JSON, []byte(`{"Id":7`+strings.Repeat(" ", n)+`}`), &b); err != nil || b.ID+b.Alt != 7 {
			t.Errorf("a name between two, with %d bytes: %+v, %v", n, b, err)
		}
	}
}

func TestDecodeKnownIsBounded(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates too")
	}
	data := []byte(`{"k":0`)
	for i := range 300_000 {
		data = fmt.Appendf(data, `,"k%d":0`, i)
	}
	data = append(data, '}')
	for _, v := range []any{new(structpb.Struct), new(descriptorpb.FileDescriptorProto)} {
		var err error
		used := allocated(func() { err = DecodeKnown(data, v) })
		if err == nil || used > 16<<20+64<<10 {
			t.Errorf("%T: %d bytes took %d, %v", v, len(data), used, err)
		}
	}
}

func isEmpty(v any) bool {
	if m, ok := v.(proto.Message); ok {
		return proto.Size(m) == 0
	}
	return reflect.ValueOf(v).Elem().IsZero()
}

func TestMessagesWithoutGeneratedTypesAreDecoded(t *testing.T) {
	md := new(descriptorpb.FileDescriptorProto).ProtoReflect().Descriptor()
	for range 2 {
		m := dynamicpb.NewMessage(md)
		if err := Decode(Protobuf, []byte("\x0a\x01x"), m); err != nil || m.Get(md.Fields().ByNumber(1)).String() != "x" {
			t.Errorf("%v, %v", m, err)
		}
		if b, err := Append(Protobuf, nil, m); err != nil || string(b) != "\x0a\x01x" {
			t.Errorf("% x, %v", b, err)
		}
	}
}

func TestMaxBytesIsNeverExceeded(t *testing.T) {
	d := Decoding{MaxBytes: 100 << 10}
	err := d.Decode(Msgpack, msgpackItems("\x80", 10_000), new(struct{ Items []costly }))
	if e := code.From(err); err == nil || e.Reason != code.ReasonTooLarge {
		t.Errorf("got %v", err)
	}
	if err := d.Decode(Msgpack, msgpackItems("\x80", 500), new(struct{ Items []costly })); err != nil {
		t.Error(err)
	}
}

// The decoder would read an extension in place of a map as the map's header: these eight bytes would end the process.
func TestMsgpackExtensionsAreNotMistakenForMaps(t *testing.T) {
	for _, data := range []string{"\xc7\x05\x00\xdf\xff\xff\xff\xff", "\xd7\x00\xdf\xff\xff\xff\xff\x00\x00\x00", "\xc9\x00\x00\x00\x05\x00\xdf\x7f\xff\xff\xff"} {
		for _, v := range []any{
			new(map[string]any), new(map[string]string), new(map[int]int), new(any), new(args), new(*map[string]any),
		} {
			if err := Decode(Msgpack, []byte(data), v); code.From(err).Reason != code.ReasonBadPayload {
				t.Errorf("%T: %v", v, err)
			}
		}
		inside := "\x81\xa5Items" + data
		if err := Decode(Msgpack, []byte(inside), new(struct{ Items map[string]any })); code.From(err).Reason != code.ReasonBadPayload {
			t.Errorf("in a struct: %v", err)
		}
	}
}
