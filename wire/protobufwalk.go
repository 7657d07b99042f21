package wire

import "google.golang.org/protobuf/encoding/protowire"

// unknownFactor is how much of the bytes of an unknown field is allocated: they are kept, appended to those before.
const unknownFactor = 7

// protobufWalk adds up what decoding a message allocates. It goes at least as far as the decoder does.
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

// exactly makes room for n numbers that come together, and returns what that costs: the decoder makes a list anew for
// them, whatever room there is.
func (l *listRoom) exactly(n, size int) int {
	if n == 0 {
		return 0
	}
	l.n += n
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
		if kind == protowire.StartGroupType && f != nil && f.wire == kind {
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

// place counts a value of a field, and returns what it is.
func (w *protobufWalk) place(f *shape, first int) *shape {
	w.total += f.extra
	if f.kind == asList {
		w.total += w.lists[first+f.slot].more(1, f.elem.size)
		return f.elem
	}
	return f
}

func (w *protobufWalk) field(f *shape, kind protowire.Type, value []byte, first, depth int) bool {
	switch {
	case f != nil && kind == protowire.BytesType && f.kind == asList && f.elem.kind == asScalar:
		data, _ := protowire.ConsumeBytes(value)
		return w.add(w.lists[first+f.slot].exactly(packed(data, f.elem.size), f.elem.size))
	case f == nil || f.wire != kind:
		return w.add(unknownFactor*len(value) + 16) // a value of another kind is kept as that of an unknown field is
	case kind != protowire.BytesType:
		w.place(f, first).behind(&w.bill)
		return true
	}
	data, n := protowire.ConsumeBytes(value)
	switch {
	case n < 0:
		return false
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
