package wire

import (
	"cmp"
	"encoding"
	"reflect"
	"strings"

	"github.com/vmihailenco/msgpack/v5"
)

var (
	msgpackDialect = &dialect{least: 1, twice: true, fields: msgpackFields, own: []reflect.Type{
		reflect.TypeFor[msgpack.CustomDecoder](), reflect.TypeFor[msgpack.Unmarshaler](),
		reflect.TypeFor[encoding.BinaryUnmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
	}}
	msgpackPlans = &planCache{build: msgpackDialect.plan}
)

// msgpackFields adds the fields of a struct as the decoder knows them. Embedded structs may be members and have members.
func msgpackFields(s *shaper, r *shape, t reflect.Type) {
	for f := range t.Fields() {
		tag, options, _ := strings.Cut(f.Tag.Get("msgpack"), ",")
		if tag == "-" || !f.IsExported() && !f.Anonymous {
			continue
		}
		member := s.of(f.Type)
		name := cmp.Or(tag, f.Name)
		inline := strings.Contains(options, "inline") && !strings.Contains(options, "noinline")
		if inner := structBehind(f.Type); inner != nil && inner != t && (inline || f.Anonymous) && !implementsAny(inner, s.own) {
			s.inline(r, s.of(inner), f.Type)
		} else {
			r.ordered = append(r.ordered, member)
		}
		r.addMember(name, member)
		if _, alias, ok := strings.Cut(options, "alias:"); ok {
			alias, _, _ = strings.Cut(alias, ",")
			r.addMember(strings.Trim(alias, "'"), member)
		}
	}
}

// inline adds the members of an embedded struct to those of r. The first of them makes what a pointer leads to.
func (s *shaper) inline(r, inner *shape, t reflect.Type) {
	wrap := func(m *shape) *shape {
		if t.Kind() != reflect.Pointer {
			return m
		}
		return &shape{kind: asPointer, boxed: rounded(int(t.Elem().Size())), elem: m}
	}
	for name, m := range inner.members {
		r.addMember(name, wrap(m))
	}
	for _, m := range inner.ordered {
		r.ordered = append(r.ordered, wrap(m))
	}
}

// addMember adds a member of a record. Of two with one name the one that may cost more is kept.
func (s *shape) addMember(name string, member *shape) {
	if old := s.members[name]; old == nil || old.kind < member.kind {
		s.members[name] = member
	}
}

func structBehind(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return t
}

// msgpackWalk checks a payload and adds up what decoding it allocates.
type msgpackWalk struct {
	bill
	rest   []byte
	buffer int  // of the decoder, for texts
	deep   bool // it is nested too deeply
	unfit  bool // the decoder would take the inside of an extension for the head of a map
}

// value walks the first value of what is left, and reports whether it is sound and nothing is too much yet.
func (w *msgpackWalk) value(s *shape, depth int) bool {
	if len(w.rest) == 0 {
		return false
	}
	head := w.rest[0]
	skip, n := msgpackValue(w.rest)
	if head == msgpackUnused || skip == 0 || skip > uint64(len(w.rest)) {
		return false
	}
	w.rest = w.rest[skip:]
	if head == msgpackNil {
		return true
	}
	before := len(w.rest)
	s = s.behind(&w.bill)
	if w.unfit = s != nil && s.kind == asDict && msgpackIsExtension(head); w.unfit {
		return false
	}
	if !w.add(w.own(s, head, int(skip), n > 0)) {
		return false
	}
	if n == 0 {
		return true
	}
	if depth == maxDepth {
		w.deep = true
		return false
	}
	if n > uint64(len(w.rest)) { // each takes a byte at least
		return false
	}
	var sound bool
	if msgpackIsMap(head) {
		sound = w.entries(s, int(n/2), depth+1)
	} else {
		sound = w.elements(s, int(n), depth+1)
	}
	if sound && s != nil && s.kind == asOwn {
		return w.add(ownFactor * (before - len(w.rest)))
	}
	return sound
}

// own is what a value allocates besides its elements.
func (w *msgpackWalk) own(s *shape, head byte, length int, container bool) int {
	if s == nil {
		return w.read(length) // to skip it
	}
	switch s.kind {
	case asBytes:
		return rounded(length)
	case asDict:
		return mapBytes
	case asOwn:
		return ownBytes + ownFactor*length + w.read(length)
	case asDynamic:
		switch {
		case container:
			return boxBytes
		case head <= 0x7f, head >= 0xe0, head == 0xc2, head == 0xc3: // the runtime has the small values in stock
			return 0
		}
		return boxBytes + rounded(length) + w.read(length)
	default:
		return rounded(length) + w.read(length)
	}
}

// read is the growth of the decoder's buffer for a text.
func (w *msgpackWalk) read(n int) int {
	if n <= w.buffer {
		return 0
	}
	w.buffer = max(n, 2*w.buffer)
	return rounded(w.buffer)
}

func (w *msgpackWalk) elements(s *shape, n, depth int) bool {
	var elem *shape
	if s != nil {
		switch s.kind {
		case asList:
			elem = s.elem
			w.total += msgpackDialect.listCost(n, elem.size)
		case asArray:
			elem = s.elem
		case asDynamic:
			elem = s.elem
			w.total += rounded(n * elem.size)
		case asRecord:
			return w.fieldsInOrder(s, n, depth)
		default: // the decoder takes no list for it
		}
	}
	for range n {
		if w.over() || !w.value(elem, depth) {
			return false
		}
	}
	return true
}

func (w *msgpackWalk) fieldsInOrder(s *shape, n, depth int) bool {
	for i := range n {
		var member *shape
		if i < len(s.ordered) {
			member = s.ordered[i]
		}
		if w.over() || !w.value(member, depth) {
			return false
		}
	}
	return true
}

func (w *msgpackWalk) entries(s *shape, n, depth int) bool {
	var key, elem *shape
	if s != nil {
		switch s.kind {
		case asDict, asDynamic:
			key, elem = s.key, s.elem
			w.total += msgpackDialect.dictCost(n, key.size, elem.size)
		default:
		}
	}
	for range n {
		if w.over() {
			return false
		}
		begin := w.rest
		if !w.value(key, depth) {
			return false
		}
		if s != nil && s.kind == asRecord {
			elem = s.members[string(msgpackText(begin[:len(begin)-len(w.rest)]))] // the name has been read
		}
		if !w.value(elem, depth) {
			return false
		}
	}
	return true
}

const (
	msgpackNil    = 0xc0
	msgpackUnused = 0xc1
)

func msgpackIsMap(head byte) bool { return head&0xf0 == 0x80 || head >= 0xde && head < 0xe0 }

func msgpackIsExtension(head byte) bool {
	return head >= 0xc7 && head <= 0xc9 || head >= 0xd4 && head <= 0xd8
}

// msgpackText gives the bytes of a string or binary, whole and sound; of other values it gives what no name is.
func msgpackText(value []byte) []byte {
	switch b := value[0]; {
	case b >= 0xa0 && b <= 0xbf:
		return value[1:]
	case b >= 0xc4 && b <= 0xc6:
		return value[1+1<<(b-0xc4):]
	case b >= 0xd9 && b <= 0xdb:
		return value[1+1<<(b-0xd9):]
	}
	return value
}
