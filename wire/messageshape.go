package wire

import (
	"reflect"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// messageShaper makes the shapes of messages.
type messageShaper struct {
	made map[protoreflect.FullName]*shape
}

const (
	valueBytes     = 320 // of a google.protobuf.Value, with the wrapper of what it holds
	extensionBytes = 256 // of an extension in the map of a message
)

func (s *messageShaper) message(m protoreflect.Message) *shape {
	md := m.Descriptor()
	if known := s.made[md.FullName()]; known != nil {
		return known
	}
	r := &shape{kind: asRecord, size: messageSize(m), members: map[string]*shape{}, ids: map[int32]*shape{}}
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

// extensions adds the fields that are registered for a message.
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

// add adds a field to a message.
func (s *messageShaper) add(r, f *shape, number protoreflect.FieldNumber) {
	if f.kind == asList {
		f.slot = r.lists
		r.lists++
	}
	r.ids[int32(number)] = f
}

// field is the shape of a field whose zero value is given. All that is not plain is behind a pointer: messages, optional numbers, members of oneofs.
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

// wireType is how a value of a field is encoded, if it is not packed.
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
