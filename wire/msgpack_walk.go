package wire

import (
	"cmp"
	"encoding"
	"math"
	"reflect"
	"strings"

	"github.com/vmihailenco/msgpack/v5"
)

var (
	msgpackDialect = &dialect{minBytes: 1, copies: true, fields: msgpackFields, own: []reflect.Type{
		reflect.TypeFor[msgpack.CustomDecoder](), reflect.TypeFor[msgpack.Unmarshaler](),
		reflect.TypeFor[encoding.BinaryUnmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
	}}
	msgpackPlans = &typeCache[*plan]{build: func(t reflect.Type) *plan {
		p, shapes := msgpackDialect.plan(t)
		for _, s := range shapes {
			p.walkAlways = p.walkAlways || s.kind == asDict || s.kind == asOwn && !s.time
		}
		return p
	}}
)

// msgpackFields adds the fields of a struct as the decoder sees them. An embedded struct can be a member itself, besides
// having its members inlined.
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
			msgpackInline(r, s.of(inner), f.Type)
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

// msgpackInline adds the members of an embedded struct to those of r. If it is behind a pointer, the first one allocates it.
func msgpackInline(r, inner *shape, t reflect.Type) {
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

// msgpackWalk checks a payload and adds up what decoding it allocates.
type msgpackWalk struct {
	tally
	rest     []byte
	buffer   int  // of the decoder, for texts
	keys     int  // map keys being walked
	own      bool // within a value of a type that decodes itself
	times    []msgpackTime
	mismatch bool // see misleads
}

// value walks the next value, and reports whether it is valid and the total within the limit.
func (w *msgpackWalk) value(s *shape, depth int) bool {
	if len(w.rest) == 0 {
		return false
	}
	head := w.rest[0]
	skip, n := msgpackValue(w.rest)
	if head == msgpackUnused || skip == 0 || skip > uint64(len(w.rest)) {
		return false
	}
	value := w.rest[:skip]
	w.rest = w.rest[skip:]
	if head == msgpackNil {
		return true
	}
	before := len(w.rest)
	s = s.deref(&w.tally)
	if w.mismatch = w.misleads(s, value, depth); w.mismatch {
		return false
	}
	if !w.add(w.itself(s, head, int(skip), n > 0)) {
		return false
	}
	if n == 0 {
		return true
	}
	if depth == maxDepth || n > uint64(len(w.rest)) { // each takes a byte at least
		return false
	}
	if s != nil && s.kind == asOwn && !w.own {
		w.own = true
		defer func() { w.own = false }()
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

// misleads reports whether the decoder would mistake the content of an extension for a map, or use a value as a map key that
// cannot be one, which panics.
func (w *msgpackWalk) misleads(s *shape, value []byte, depth int) bool {
	head := value[0]
	switch extension := msgpackIsExtension(head); {
	case w.keys > 0 && s != nil && s.kind == asDynamic:
		return extension || msgpackIsBinary(head) || msgpackIsArray(head) || msgpackIsMap(head)
	case !extension:
		return false
	case w.own || s != nil && s.kind == asOwn && !s.time:
		return w.misread(value, depth)
	}
	return s != nil && s.kind == asDict
}

// misread reports whether a type that decodes itself could mistake the content of an extension for a map. Times that look
// like one are recorded instead, and re-encoded.
func (w *msgpackWalk) misread(extension []byte, depth int) bool {
	body := msgpackBody(extension)
	if len(body) == 0 || !msgpackIsMap(body[0]) {
		return false
	}
	inside := msgpackWalk{tally: tally{max: math.MaxInt}, rest: body, own: true}
	if inside.value(nil, depth) && len(inside.rest) == 0 && len(inside.times) == 0 {
		return false
	}
	t, ok := msgpackTimeOf(extension, body)
	if ok {
		t.left = len(w.rest)
		w.times = append(w.times, t)
	}
	return !ok
}

// itself returns what a value allocates besides its elements.
func (w *msgpackWalk) itself(s *shape, head byte, length int, container bool) int {
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
		case head <= 0x7f, head >= 0xe0, head == 0xc2, head == 0xc3: // the runtime has preallocated small values
			return 0
		}
		return boxBytes + rounded(length) + w.read(length)
	default:
		return rounded(length) + w.read(length)
	}
}

// read returns what the decoder's buffer grows by for a text.
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
		default: // the decoder accepts no list
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
	keys := 0
	if s != nil {
		switch s.kind {
		case asDict, asDynamic:
			key, elem, keys = s.key, s.elem, 1
			w.total += msgpackDialect.dictCost(n, key.size, elem.size)
		default:
		}
	}
	for range n {
		if w.over() {
			return false
		}
		begin := w.rest
		w.keys += keys
		if !w.value(key, depth) {
			return false
		}
		w.keys -= keys
		if s != nil && s.kind == asRecord {
			elem = s.members[string(msgpackText(begin[:len(begin)-len(w.rest)]))] // the name has been read
		}
		if !w.value(elem, depth) {
			return false
		}
	}
	return true
}
