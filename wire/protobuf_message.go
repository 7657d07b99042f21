package wire

import (
	"reflect"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// knownMessage is what is known about a protobuf message.
type knownMessage struct {
	descriptor protoreflect.MessageDescriptor
	plan       *plan
	recursive  bool // it can contain itself
	anys       bool // it can contain a google.protobuf.Any
}

const anyName protoreflect.FullName = "google.protobuf.Any"

var (
	protobufDialect = &dialect{minBytes: 2, grows: true}
	knownMessages   typeCache[*knownMessage] // by descriptor
	knownTypes      typeCache[*knownMessage] // of generated code, whose types have one descriptor each
)

// knownFor returns what is known about m. It is cheaper than knownOf, since ProtoReflect prepares a message for reflection.
func knownFor(m proto.Message) *knownMessage {
	t := reflect.TypeOf(m)
	if known, ok := knownTypes.load(t); ok {
		return known
	}
	known := knownOf(m.ProtoReflect())
	if _, generated := m.(interface{ Descriptor() ([]byte, []int) }); generated {
		knownTypes.store(t, known)
	}
	return known
}

func knownOf(m protoreflect.Message) *knownMessage {
	md := m.Descriptor()
	if known, ok := knownMessages.load(md); ok {
		return known
	}
	s := messageShaper{made: map[protoreflect.FullName]*shape{}}
	p := &plan{root: s.message(m.New())}
	p.maxPerByte = max(unknownFactor, protobufDialect.maxPerByte(p.root))
	p.maxPerByteJSON = jsonDialect.maxPerByte(p.root) + tokenBytes
	known := &knownMessage{md, p, leadsBack(md, map[protoreflect.FullName]bool{}), s.made[anyName] != nil}
	if reflect.TypeOf(md).Kind() == reflect.Pointer {
		knownMessages.store(md, known)
	}
	return known
}

// leadsBack reports whether md can contain itself. open is true for the messages on the path to md. Extensions may be any
// message.
func leadsBack(md protoreflect.MessageDescriptor, open map[protoreflect.FullName]bool) bool {
	if onTheWay, seen := open[md.FullName()]; seen {
		return onTheWay
	}
	open[md.FullName()] = true
	defer func() { open[md.FullName()] = false }()
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		if fd.IsMap() {
			fd = fd.MapValue()
		}
		if fd.Message() != nil && leadsBack(fd.Message(), open) {
			return true
		}
	}
	return md.ExtensionRanges().Len() > 0
}

// messageShaper builds the shapes of messages.
type messageShaper struct {
	made map[protoreflect.FullName]*shape
}

const (
	valueBytes     = 320 // of a google.protobuf.Value, with the wrapper of its content
	extensionBytes = 256 // of an extension in the map of a message
)

func (s *messageShaper) message(m protoreflect.Message) *shape {
	md := m.Descriptor()
	if known := s.made[md.FullName()]; known != nil {
		return known
	}
	r := &shape{kind: asRecord, size: messageSize(m), members: map[string]*shape{}}
	s.made[md.FullName()] = r
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		f := s.field(fd, m.NewField(fd))
		s.add(r, f, fd.Number())
		r.members[fd.JSONName()], r.members[fd.TextName()] = f, f
	}
	s.extensions(r, md)
	if ownJSON[md.FullName()] || md.FullName() == "google.protobuf.ListValue" {
		r.rest = &shape{kind: asDynamic, any: md.FullName() == anyName, size: 8, key: stringShape}
		r.rest.elem = &shape{kind: asPointer, size: 8, boxed: valueBytes, elem: r.rest}
	}
	return r
}

// messageSize returns the size of the Go value of a message.
func messageSize(m protoreflect.Message) int {
	if _, dynamic := m.Interface().(*dynamicpb.Message); dynamic {
		return 4 * valueBytes // its fields are in a map
	}
	if t := reflect.TypeOf(protoadapt.MessageV1Of(m.Interface())); t.Kind() == reflect.Pointer {
		return int(t.Elem().Size())
	}
	return valueBytes
}

// extensions adds the registered extensions of a message to its shape.
func (s *messageShaper) extensions(r *shape, md protoreflect.MessageDescriptor) {
	if md.ExtensionRanges().Len() == 0 {
		return
	}
	protoregistry.GlobalTypes.RangeExtensionsByMessage(md.FullName(), func(x protoreflect.ExtensionType) bool {
		f := s.field(x.TypeDescriptor(), x.New())
		f.extra = extensionBytes
		s.add(r, f, x.TypeDescriptor().Number())
		r.members["["+string(x.TypeDescriptor().FullName())+"]"] = f
		return true
	})
}

// add adds a field to the shape of a message.
func (s *messageShaper) add(r, f *shape, number protoreflect.FieldNumber) {
	if f.kind == asList {
		f.slot = r.lists
		r.lists++
	}
	r.ids.set(int32(number), f)
}

// field returns the shape of a field, whose zero value is zero. Messages, optional scalars and members of oneofs are behind
// a pointer.
func (s *messageShaper) field(fd protoreflect.FieldDescriptor, zero protoreflect.Value) *shape {
	switch {
	case fd.IsMap():
		v := zero.Map().NewValue()
		return &shape{kind: asDict, size: 8, wire: protowire.BytesType, key: s.single(fd.MapKey(), v), elem: s.single(fd.MapValue(), v)}
	case fd.IsList():
		return &shape{kind: asList, size: 24, wire: wireType(fd), elem: s.single(fd, zero.List().NewElement())}
	}
	f := s.single(fd, zero)
	if fd.ContainingOneof() != nil || fd.HasPresence() && fd.Message() == nil {
		f = &shape{kind: asPointer, size: 8, boxed: 32, wire: wireType(fd), elem: f}
	}
	return f
}

// wireType returns the wire type of a field that is not packed.
func wireType(fd protoreflect.FieldDescriptor) protowire.Type {
	switch fd.Kind() {
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.GroupKind:
		return protowire.StartGroupType
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	default:
		return protowire.VarintType
	}
}

func (s *messageShaper) single(fd protoreflect.FieldDescriptor, v protoreflect.Value) *shape {
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		inner := s.message(v.Message())
		return &shape{kind: asPointer, size: 8, boxed: rounded(inner.size), wire: wireType(fd), elem: inner}
	case protoreflect.StringKind:
		return &shape{kind: asText, size: 16, wire: wireType(fd)}
	case protoreflect.BytesKind:
		return &shape{kind: asBytes, size: 24, wire: wireType(fd)}
	case protoreflect.BoolKind:
		return &shape{size: 1, wire: wireType(fd)}
	case protoreflect.EnumKind, protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Uint32Kind,
		protoreflect.Sfixed32Kind, protoreflect.Fixed32Kind, protoreflect.FloatKind:
		return &shape{size: 4, wire: wireType(fd)}
	default:
		return &shape{size: 8, wire: wireType(fd)}
	}
}

// unknownFactor is the cost of an unknown field, per byte: it is appended to the previous ones.
const unknownFactor = 7

// protobufWalk adds up what decoding a message allocates. It walks at least as far as the decoder does.
type protobufWalk struct {
	tally
	lists []growingList // of the messages being walked, but for those with few
}

// growingList is the length and capacity of a growing list.
type growingList struct{ n, capacity int }

// more adds n elements and returns the cost.
func (l *growingList) more(n, size int) int {
	l.n += n
	if l.n <= l.capacity {
		return 0
	}
	l.capacity = max(l.n, grown(l.capacity))
	return rounded(l.capacity * size)
}

// exactly adds n packed numbers and returns the cost: the decoder reallocates the list for them in any case.
func (l *growingList) exactly(n, size int) int {
	if n == 0 {
		return 0
	}
	l.n += n
	l.capacity = l.n
	return rounded(l.capacity * size)
}

// message walks the fields of a message, or of a group to its end, and returns the rest.
func (w *protobufWalk) message(s *shape, b []byte, group protowire.Number, depth int) ([]byte, bool) {
	if depth == maxDepth {
		return nil, false
	}
	var few [4]growingList
	lists := few[:]
	if s.lists > len(few) {
		first := len(w.lists)
		w.lists = append(w.lists, make([]growingList, s.lists)...)
		lists = w.lists[first:]
		defer func() { w.lists = w.lists[:first] }()
	}
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, false
		}
		b = b[n:]
		if kind == protowire.EndGroupType {
			return b, number == group
		}
		f := s.ids.at(int32(number))
		if kind == protowire.StartGroupType && f != nil && f.wire == kind {
			var ok bool
			if b, ok = w.message(w.place(f, lists).deref(&w.tally), b, number, depth+1); !ok {
				return nil, false
			}
			continue
		}
		var data []byte // of a length-delimited value
		if kind == protowire.BytesType {
			data, n = protowire.ConsumeBytes(b)
		} else {
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		switch {
		case n < 0:
			return nil, false
		case f != nil && f.wire == kind && f.isPlain(): // most fields
			w.total += f.extra + f.boxed + rounded(len(data))
		case !w.field(f, kind, n, data, lists, depth):
			return nil, false
		}
		if w.over() {
			return nil, false
		}
		b = b[n:]
	}
	return nil, group == 0
}

// place counts a value of a field, and returns its shape.
func (w *protobufWalk) place(f *shape, lists []growingList) *shape {
	w.total += f.extra
	if f.kind == asList {
		w.total += lists[f.slot].more(1, f.elem.size)
		return f.elem
	}
	return f
}

// field walks a value of n bytes. If it is length-delimited, data is its content.
func (w *protobufWalk) field(f *shape, kind protowire.Type, n int, data []byte, lists []growingList, depth int) bool {
	switch {
	case f != nil && kind == protowire.BytesType && f.kind == asList && f.elem.kind == asScalar:
		return w.add(lists[f.slot].exactly(packed(data, f.elem.size), f.elem.size))
	case f == nil || f.wire != kind:
		return w.add(unknownFactor*n + 16) // a value of the wrong wire type is kept as an unknown field
	case kind != protowire.BytesType:
		w.place(f, lists).deref(&w.tally)
		return true
	case f.kind == asDict:
		return w.entry(f, data, depth)
	}
	return w.value(w.place(f, lists), data, depth)
}

// packed returns the maximum count of numbers in a packed field.
func packed(data []byte, size int) int {
	ends := 0
	for _, b := range data {
		if b < 0x80 {
			ends++
		}
	}
	return max(ends, len(data)/size)
}

// value walks a length-delimited value.
func (w *protobufWalk) value(s *shape, data []byte, depth int) bool {
	s = s.deref(&w.tally)
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

// entry walks a map entry, which is a message with a key and a value.
func (w *protobufWalk) entry(f *shape, b []byte, depth int) bool {
	w.total += 10 * (f.key.size + f.elem.size + mapBytes)
	if f.elem.kind == asPointer {
		w.total += f.elem.boxed // allocated even if there is no value
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
