package wire

import (
	"reflect"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// knownMessage is what is known of a message of protobuf.
type knownMessage struct {
	descriptor protoreflect.MessageDescriptor
	plan       *plan
	recursive  bool // it can contain itself
	anys       bool // it can contain a google.protobuf.Any, which can contain everything
}

const anyName protoreflect.FullName = "google.protobuf.Any"

var (
	protobufDialect = &dialect{least: 2, grows: true}
	knownMessages   typeCache[*knownMessage] // by descriptor
)

func knownOf(m protoreflect.Message) *knownMessage {
	md := m.Descriptor()
	if known, ok := knownMessages.load(md); ok {
		return known
	}
	s := messageShaper{made: map[protoreflect.FullName]*shape{}}
	p := &plan{root: s.message(m.New())}
	p.worst = max(unknownFactor, protobufDialect.worst(p.root))
	p.worstJSON = jsonDialect.worst(p.root) + tokenBytes
	known := &knownMessage{md, p, leadsBack(md, map[protoreflect.FullName]bool{}), s.made[anyName] != nil}
	if reflect.TypeOf(md).Kind() == reflect.Pointer {
		knownMessages.store(md, known)
	}
	return known
}

// leadsBack searches md for a message on the way to itself: open is true for those. Extensions can be anything.
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
