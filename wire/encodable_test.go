package wire

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/easymicro/easymicro/wire/code"
)

type chain struct {
	N    int
	Next *chain
}

type tree struct {
	Kids []*tree
	Map  map[string]*tree
	Any  any
}

// thriftChain is written as generated code would for a struct that contains itself.
type thriftChain struct{ Next *thriftChain }

func (c *thriftChain) Read(context.Context, thrift.TProtocol) error { return nil }

func (c *thriftChain) Write(ctx context.Context, p thrift.TProtocol) error {
	if c.Next != nil {
		if err := p.WriteFieldBegin(ctx, "next", thrift.STRUCT, 1); err != nil {
			return err
		}
		if err := c.Next.Write(ctx, p); err != nil {
			return err
		}
	}
	return p.WriteFieldStop(ctx)
}

// gogoChain has the methods that gogo/protobuf generates.
type gogoChain struct{ Next *gogoChain }

func (c *gogoChain) Size() int {
	if c == nil {
		return 0
	}
	return 2 + c.Next.Size()
}

func (c *gogoChain) Marshal() ([]byte, error) { return make([]byte, c.Size()), nil }

func (c *gogoChain) Unmarshal([]byte) error { return nil }

func chainOf(n int) *chain {
	var c *chain
	for range n {
		c = &chain{Next: c}
	}
	return c
}

func endlessValues() map[string]map[Codec]any {
	ring := chainOf(3)
	ring.Next.Next.Next = ring
	kids, maps, anys := new(tree), new(tree), new(tree)
	kids.Kids = []*tree{kids}
	maps.Map = map[string]*tree{"": maps}
	anys.Any = anys
	m := map[string]any{}
	m["m"] = m
	list := make([]any, 1)
	list[0] = list
	var itself any
	itself = &itself
	values := &structpb.ListValue{}
	values.Values = []*structpb.Value{structpb.NewListValue(values)}
	members := &structpb.Struct{}
	members.Fields = map[string]*structpb.Value{"m": structpb.NewStructValue(members)}
	th, gogo := new(thriftChain), new(gogoChain)
	th.Next, gogo.Next = th, gogo

	const n = 100_000
	nested := func(f func(inner any) any) any {
		var v any
		for range n {
			v = f(v)
		}
		return v
	}
	deepTH, deepGogo := new(thriftChain), new(gogoChain)
	deepValue := structpb.NewNullValue()
	for range n {
		deepTH, deepGogo = &thriftChain{deepTH}, &gogoChain{deepGogo}
		deepValue = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{deepValue}})
	}
	both := func(v any) map[Codec]any { return map[Codec]any{JSON: v, Msgpack: v} }
	return map[string]map[Codec]any{
		"a ring of pointers":         both(ring),
		"a list in itself":           both(kids),
		"a map in itself":            both(maps),
		"an interface in itself":     both(anys),
		"a map of any in itself":     both(m),
		"a list of any in itself":    both(list),
		"a pointer to itself":        both(itself),
		"behind a pointer":           both(&m),
		"a ring of messages":         {Protobuf: values},
		"a ring of messages by map":  {Protobuf: members},
		"a ring of thrift structs":   {Thrift: th},
		"a ring of older messages":   {Protobuf: gogo},
		"100,000 pointers":           both(chainOf(n)),
		"100,000 lists":              both(nested(func(v any) any { return []any{v} })),
		"100,000 maps":               both(nested(func(v any) any { return map[string]any{"": v} })),
		"100,000 pointers to any":    both(nested(func(v any) any { return &v })),
		"100,000 messages":           {Protobuf: deepValue},
		"100,000 thrift structs":     {Thrift: deepTH},
		"100,000 of older messages":  {Protobuf: deepGogo},
		"2^40 lists in 40":           both(doubled(40)),
		"2^40 of a type in 40":       both(doubledTree(40)),
		"2^40 messages in 40":        {Protobuf: doubledValue(40)},
		"2^40 maps with one in all":  both(doubledMap(40)),
		"strings longer than frames": both(longStrings()),
	}
}

func doubled(n int) any {
	v := []any{}
	for range n {
		v = []any{v, v}
	}
	return v
}

func doubledTree(n int) *tree {
	t := new(tree)
	for range n {
		t = &tree{Kids: []*tree{t, t}}
	}
	return t
}

func doubledMap(n int) any {
	m := map[string]any{}
	for range n {
		m = map[string]any{"a": m, "b": m}
	}
	return m
}

func doubledValue(n int) *structpb.Value {
	v := structpb.NewNullValue()
	for range n {
		v = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{v, v}})
	}
	return v
}

func longStrings() any {
	s := strings.Repeat("s", 1<<20)
	var all []any
	for range maxPayload>>20 + 1 {
		all = append(all, s)
	}
	return all
}

func TestCyclicOrTooLongValuesAreNotEncoded(t *testing.T) {
	// An encoder that followed a value to its end would need more stack than this.
	defer debug.SetMaxStack(debug.SetMaxStack(64 << 20))
	for name, of := range endlessValues() {
		for c, v := range of {
			t.Run(c.String()+"/"+name, func(t *testing.T) {
				counted := strings.HasPrefix(name, "2^40") // up to a bound, in the same way for all codecs
				if counted && (testing.Short() || c == Msgpack && !long()) {
					t.Skip("it takes seconds")
				}
				out, err := Append(c, []byte("in front"), v)
				if e := code.From(err); err == nil || e.Code != code.Internal || string(out) != "in front" {
					t.Errorf("%d bytes, %v", len(out), err)
				}
				if c != JSON && c != Protobuf || counted && !long() {
					return
				}
				if out, err := AppendHTTP(nil, v); err == nil {
					t.Errorf("over HTTP: %d bytes", len(out))
				}
			})
		}
	}
}

func TestFiniteNestingIsEncoded(t *testing.T) {
	shared := &tree{Any: 1}
	for _, v := range []any{
		chainOf(400), doubled(10), doubledTree(10),
		&tree{Kids: []*tree{shared, shared}, Map: map[string]*tree{"a": shared, "b": nil}},
		map[string]any{"list": []any{1.5, "x", nil, map[string]any{}}, "raw": json.RawMessage("[1]")},
		[]error{nil},
		(*tree)(nil), nil,
	} {
		for _, c := range []Codec{JSON, Msgpack} {
			if _, err := Append(c, nil, v); err != nil {
				t.Errorf("%v of %T: %v", c, v, err)
			}
		}
	}
}

// thriftTree and gogoTree have their children in lists, and gogoTree one in a oneof, as generated code has them.
type thriftTree struct{ Kids []*thriftTree }

func (t *thriftTree) Read(context.Context, thrift.TProtocol) error { return nil }

func (t *thriftTree) Write(ctx context.Context, p thrift.TProtocol) error {
	return p.WriteFieldStop(ctx)
}

type gogoTree struct {
	Kids []*gogoTree
	Kind interface{ isKind() }
}

type gogoTreeKid struct{ Kid *gogoTree }

func (*gogoTreeKid) isKind() {}

func (*gogoTree) Marshal() ([]byte, error) { return nil, nil }

func TestDecodedValuesAreEncodedAtAnyDepth(t *testing.T) {
	const n = maxDepth - 1
	tree, list, oneof := new(thriftTree), new(gogoTree), new(gogoTree)
	for range n {
		tree, list, oneof = &thriftTree{[]*thriftTree{tree}}, &gogoTree{Kids: []*gogoTree{list}}, &gogoTree{Kind: &gogoTreeKid{oneof}}
	}
	for name, of := range map[string]struct {
		c Codec
		v any
	}{"a list of thrift": {Thrift, tree}, "a list of messages": {Protobuf, list}, "a oneof": {Protobuf, oneof}} {
		if _, err := Append(of.c, nil, of.v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	list.Kids = append(list.Kids, list)
	oneof.Kind = &gogoTreeKid{oneof}
	for name, v := range map[string]any{"a list": list, "a oneof": oneof} {
		if _, err := Append(Protobuf, nil, v); code.Of(err) != code.Internal {
			t.Errorf("%s in itself: %v", name, err)
		}
	}
	zeros := make([]any, maxValues+1)
	for i := range zeros {
		zeros[i] = 0
	}
	if _, err := Append(JSON, nil, zeros); err == nil || !strings.Contains(err.Error(), "too many values") {
		t.Errorf("got %v", err)
	}
}

// parent is encoded by a method of its own, which leaves the way back out.
type parent struct{ Child *child }

type child struct{ Parent *parent }

func (*parent) MarshalJSON() ([]byte, error) { return []byte("{}"), nil }

func TestTypesThatEncodeThemselvesAreNotWalked(t *testing.T) {
	p := &parent{Child: &child{}}
	p.Child.Parent = p
	if b, err := Append(JSON, nil, []any{p}); err != nil || string(b) != "[{}]" {
		t.Errorf("%s, %v", b, err)
	}
}

func TestEncodedValuesFitIntoAFrame(t *testing.T) {
	s := sink{frameSpace: 10}
	for range 2 {
		if _, err := s.Write([]byte("12345")); err != nil {
			t.Fatal(err)
		}
	}
	if s.WriteByte('6') == nil || len(s.b) != 10 {
		t.Errorf("%d bytes", len(s.b))
	}
	b := thriftBuffer{frameSpace: 3}
	b.Buffer = nil
	if _, err := b.WriteString("1234"); err == nil {
		t.Error("a thrift buffer takes more than it has room for")
	}
	if !long() {
		return
	}
	part := make([]byte, 64<<20)
	parts := make([][]byte, maxPayload/len(part)+1)
	for i := range parts {
		parts[i] = part
	}
	for _, c := range []Codec{JSON, Msgpack} {
		if _, err := Append(c, nil, parts); err == nil {
			t.Errorf("%v: a frame holds %d bytes", c, len(part)*len(parts))
		}
	}
}

func BenchmarkAppendDynamic(b *testing.B) {
	v := map[string]any{"id": 1.0, "name": "some name", "tags": []any{"a", "b", "c"}, "nested": map[string]any{"x": 1.0, "y": 2.0}}
	for _, c := range []Codec{JSON, Msgpack} {
		b.Run(fmt.Sprint(c), func(b *testing.B) {
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				dst, _ = Append(c, dst[:0], v)
			}
		})
	}
}
