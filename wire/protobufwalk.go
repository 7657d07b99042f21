package wire

import (
	"reflect"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

var (
	protobufDialect = &dialect{least: 2, grows: true}
	protobufPlans   sync.Map // of *plan, by the descriptor of the message
)

// unknownFactor is how much of the bytes of an unknown field is allocated: they are kept, appended to those before.
const unknownFactor = 7

// messagePlan is the plan of a message.
func messagePlan(m proto.Message) *plan {
	r := m.ProtoReflect()
	md := r.Descriptor()
	kept, ok := protobufPlans.Load(md)
	if !ok {
		kept, _ = protobufPlans.LoadOrStore(md, newMessagePlan(r.New()))
	}
	p, _ := kept.(*plan)
	return p
}

func newMessagePlan(m protoreflect.Message) *plan {
	s := messageShaper{made: map[protoreflect.FullName]*shape{}}
	p := &plan{root: s.message(m), messages: true}
	asProtobuf, _ := protobufDialect.worst(p.root)
	asJSON, _ := jsonDialect.worst(p.root)
	p.worst = max(unknownFactor, asProtobuf, asJSON+tokenBytes)
	return p
}

// messageShaper makes the shapes of messages.
type messageShaper struct {
	made map[protoreflect.FullName]*shape
}

// valueBytes is what a google.protobuf.Value costs, with the wrapper of what it holds.
const valueBytes = 320

func (s *messageShaper) message(m protoreflect.Message) *shape {
	md := m.Descriptor()
	if known := s.made[md.FullName()]; known != nil {
		return known
	}
	r := &shape{kind: asRecord, size: messageSize(m), members: map[string]*shape{}, folded: map[string]*shape{}, ids: map[int32]*shape{}}
	s.made[md.FullName()] = r
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		f := s.field(m, fd)
		if f.kind == asList {
			f.slot = r.lists
			r.lists++
		}
		r.ids[int32(fd.Number())] = f
		r.members[fd.JSONName()], r.members[fd.TextName()] = f, f
	}
	if ownJSON[md.FullName()] || md.FullName() == "google.protobuf.ListValue" {
		r.rest = &shape{kind: asDynamic, size: 8, key: stringShape}
		r.rest.elem = &shape{kind: asPointer, size: 8, boxed: valueBytes, elem: r.rest}
	}
	return r
}

// messageSize is what the Go value of a message takes.
func messageSize(m protoreflect.Message) int {
	if _, dynamic := m.Interface().(*dynamicpb.Message); dynamic {
		return 4 * valueBytes // its fields are in a map
	}
	if t := reflect.TypeOf(protoadapt.MessageV1Of(m.Interface())); t.Kind() == reflect.Pointer {
		return int(t.Elem().Size())
	}
	return valueBytes
}

// field is the shape of a field. All that is not plain is behind a pointer: messages, optional numbers, members of oneofs.
func (s *messageShaper) field(m protoreflect.Message, fd protoreflect.FieldDescriptor) *shape {
	switch {
	case fd.IsMap():
		v := m.NewField(fd).Map().NewValue()
		return &shape{kind: asDict, size: 8, key: s.single(fd.MapKey(), v), elem: s.single(fd.MapValue(), v)}
	case fd.IsList():
		return &shape{kind: asList, size: 24, elem: s.single(fd, m.NewField(fd).List().NewElement())}
	}
	f := s.single(fd, m.NewField(fd))
	if fd.ContainingOneof() != nil || fd.HasPresence() && fd.Message() == nil {
		f = &shape{kind: asPointer, size: 8, boxed: 32, elem: f}
	}
	return f
}

func (s *messageShaper) single(fd protoreflect.FieldDescriptor, v protoreflect.Value) *shape {
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		inner := s.message(v.Message())
		return &shape{kind: asPointer, size: 8, boxed: rounded(inner.size), elem: inner}
	case protoreflect.StringKind:
		return stringShape
	case protoreflect.BytesKind:
		return &shape{kind: asBytes, size: 24}
	case protoreflect.BoolKind:
		return &shape{size: 1}
	case protoreflect.EnumKind, protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Uint32Kind,
		protoreflect.Sfixed32Kind, protoreflect.Fixed32Kind, protoreflect.FloatKind:
		return &shape{size: 4}
	default:
		return &shape{size: 8}
	}
}

// protobufWalk adds up what decoding a message allocates. What is malformed ends it no earlier than the decoder.
type protobufWalk struct {
	bill
	lists []listRoom // of the messages that are open
}

// listRoom is a list that grows.
type listRoom struct{ n, room int }

// more makes room for n more elements of a size, and returns what that costs.
func (l *listRoom) more(n, size int) int {
	l.n += n
	if l.n <= l.room {
		return 0
	}
	l.room = max(l.n, grown(l.room))
	return rounded(l.room * size)
}

// exactly is more for numbers that come together, for which no more room is made than they take.
func (l *listRoom) exactly(n, size int) int {
	l.n += n
	if l.n <= l.room {
		return 0
	}
	l.room = l.n
	return rounded(l.room * size)
}

// message walks the fields of a message, or of a group until its end, and returns what follows.
func (w *protobufWalk) message(s *shape, b []byte, group protowire.Number, depth int) ([]byte, bool) {
	if depth == maxDepth {
		return nil, false
	}
	first := len(w.lists)
	w.lists = append(w.lists, make([]listRoom, s.lists)...)
	defer func() { w.lists = w.lists[:first] }()
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, false
		}
		b = b[n:]
		if kind == protowire.EndGroupType {
			return b, number == group
		}
		f := s.ids[int32(number)]
		if kind == protowire.StartGroupType && f != nil && f.elements().record() != nil {
			var ok bool
			if b, ok = w.message(w.place(f, first).behind(&w.bill), b, number, depth+1); !ok {
				return nil, false
			}
			continue
		}
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 || !w.field(f, kind, b[:n], first, depth) || w.over() {
			return nil, false
		}
		b = b[n:]
	}
	return nil, group == 0
}

// elements is what the values of a field are, also of one that is a list.
func (s *shape) elements() *shape {
	if s.kind == asList {
		return s.elem
	}
	return s
}

// record is the message that a value of s is, behind pointers.
func (s *shape) record() *shape {
	if s = s.behind(new(bill)); s.kind != asRecord {
		return nil
	}
	return s
}

// place counts a value of a field, and returns what it is.
func (w *protobufWalk) place(f *shape, first int) *shape {
	if f.kind == asList {
		w.total += w.lists[first+f.slot].more(1, f.elem.size)
	}
	return f.elements()
}

func (w *protobufWalk) field(f *shape, kind protowire.Type, value []byte, first, depth int) bool {
	switch {
	case f == nil:
		return w.add(unknownFactor*len(value) + 16)
	case kind != protowire.BytesType:
		w.place(f, first).behind(&w.bill)
		return true
	}
	data, n := protowire.ConsumeBytes(value)
	switch {
	case n < 0:
		return false
	case f.kind == asList && f.elem.kind == asScalar:
		return w.add(w.lists[first+f.slot].exactly(packed(data, f.elem.size), f.elem.size))
	case f.kind == asDict:
		return w.entry(f, data, depth)
	}
	return w.value(w.place(f, first), data, depth)
}

// packed is how many numbers there are in a packed field, at most.
func packed(data []byte, size int) int {
	ends := 0
	for _, b := range data {
		if b < 0x80 {
			ends++
		}
	}
	return max(ends, len(data)/size)
}

// value walks a value that has a length.
func (w *protobufWalk) value(s *shape, data []byte, depth int) bool {
	s = s.behind(&w.bill)
	switch s.kind {
	case asText, asBytes:
		return w.add(rounded(len(data)))
	case asRecord:
		_, ok := w.message(s, data, 0, depth+1)
		return ok
	default:
		return w.add(unknownFactor*len(data) + 16)
	}
}

// entry walks an entry of a map: a message of a key and a value.
func (w *protobufWalk) entry(f *shape, b []byte, depth int) bool {
	w.total += 10 * (f.key.size + f.elem.size + mapBytes)
	if f.elem.kind == asPointer {
		w.total += f.elem.boxed // made before it is known whether there is one
	}
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return false
		}
		part := f.key
		if number == 2 {
			part = f.elem
		}
		if kind == protowire.BytesType {
			data, _ := protowire.ConsumeBytes(b[:n])
			if !w.value(part, data, depth+1) {
				return false
			}
		}
		b = b[n:]
	}
	return !w.over()
}

// protobufTooDeep reports whether data nests messages beyond maxDepth, whatever their fields are: what has a length may be
// one.
func protobufTooDeep(data []byte, depth int) bool {
	if depth == maxDepth {
		return true
	}
	groups := 0
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return false
		}
		data = data[n:]
		switch kind {
		case protowire.StartGroupType:
			groups++
			if depth+groups >= maxDepth {
				return true
			}
			continue
		case protowire.EndGroupType:
			groups--
			continue
		default: // has a value
		}
		if n = protowire.ConsumeFieldValue(number, kind, data); n < 0 {
			return false
		}
		if inner, m := protowire.ConsumeBytes(data[:n]); kind == protowire.BytesType && m > 0 && protobufTooDeep(inner, depth+groups+1) {
			return true
		}
		data = data[n:]
	}
	return false
}
