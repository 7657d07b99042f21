package wire

import (
	"reflect"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

var jsonPlans = &typeCache[*plan]{build: func(t reflect.Type) *plan {
	p, structs := jsonDialect.plan(t)
	for t, s := range structs {
		p.allErrors = p.allErrors || s.kind == asRecord && (s.caseClash || jsonNeedsAllErrors(t))
	}
	return p
}}

// jsonWalk adds up what decoding a payload allocates. It walks at least as far as the decoder does.
type jsonWalk struct {
	tally
	data      []byte
	at        int
	proto     bool // the target is a message: every value costs something, even null
	allErrors bool // errors are collected: every mismatched value costs something
	spare     int  // bytes saved if long lists are allocated at their lengths
	long      []longList
	exact     bool // allocate them so
}

// longList is a list in the target that can be allocated at its length.
type longList struct {
	list reflect.Value
	n    int
}

// minLong is the minimum length of a long list.
const minLong = 1 << 10

// value walks one value, and reports whether to go on. v is its target, except within lists and maps.
func (w *jsonWalk) value(s *shape, v reflect.Value, depth int) bool {
	w.blanks()
	if w.at >= len(w.data) || depth > maxJSONDepth {
		return false
	}
	c := w.data[w.at]
	if w.proto {
		w.total += tokenBytes
	}
	if w.allErrors && !fitsKind(c, s) {
		w.total += errorBytes
	}
	if (c != 'n' || w.proto) && s != nil && s.kind == asPointer {
		s, v = s.deref(&w.tally), reflect.Value{}
	}
	if w.proto && s != nil && s.rest != nil {
		if s = s.rest; s.any && c == '{' {
			s = w.inAny()
		}
	}
	begin := w.at
	var sound bool
	switch c {
	case '{':
		w.at++
		sound = w.object(s, v, depth+1)
	case '[':
		w.at++
		sound = w.array(s, v, depth+1)
	case '"':
		text, escaped, ok := w.text()
		if sound = ok; ok {
			w.total += jsonTextCost(s, len(text), escaped)
		}
	default:
		sound = w.scalar()
		if s != nil && s.kind == asDynamic && c != 'n' && c != 't' && c != 'f' {
			w.total += 16
		} else if s != nil && s.kind == asText {
			w.total += rounded(w.at - begin)
		}
	}
	if s != nil && s.kind == asOwn {
		w.total += ownBytes + 2*rounded(w.at-begin)
	}
	return sound && w.pay(0)
}

// pay is like add, minus what long lists save.
func (w *jsonWalk) pay(n int) (enough bool) {
	w.total += n
	return w.total-w.spare <= w.max
}

// fitsKind reports whether a value that begins with c can be decoded as s.
func fitsKind(c byte, s *shape) bool {
	s = s.deref(new(tally))
	if s == nil || c == 'n' || s.kind == asDynamic {
		return true
	}
	switch s.kind {
	case asDict, asRecord:
		return c == '{'
	case asList, asArray:
		return c == '['
	case asText, asBytes, asOwn:
		return c == '"'
	default:
		return c != '"' && c != '[' && c != '{'
	}
}

func jsonTextCost(s *shape, n int, escaped bool) int {
	cost := 0
	if escaped {
		cost = rounded(n)
	}
	if s == nil {
		return cost
	}
	switch s.kind {
	case asBytes, asText:
		return cost + rounded(n)
	case asDynamic:
		return cost + 16 + rounded(n)
	default:
		return cost
	}
}

func (w *jsonWalk) blanks() {
	for w.at < len(w.data) {
		switch w.data[w.at] {
		case ' ', '\t', '\n', '\r':
			w.at++
		default:
			return
		}
	}
}

func (w *jsonWalk) scalar() bool {
	begin := w.at
	for ; w.at < len(w.data); w.at++ {
		switch w.data[w.at] {
		case ',', ']', '}', ' ', '\t', '\n', '\r':
			return w.at > begin
		}
	}
	return true
}

// text walks a string and returns what is between its quotes.
func (w *jsonWalk) text() (text []byte, escaped, ok bool) {
	begin := w.at + 1
	for i := begin; i < len(w.data); i++ {
		switch w.data[i] {
		case '"':
			w.at = i + 1
			return w.data[begin:i], escaped, true
		case '\\':
			escaped = true
			i++
		}
	}
	w.at = len(w.data)
	return nil, escaped, false
}

// next walks a separator or the end of a container, and reports whether another value follows.
func (w *jsonWalk) next(end byte) (more, sound bool) {
	w.blanks()
	if w.at >= len(w.data) {
		return false, false
	}
	c := w.data[w.at]
	w.at++
	return c == ',', c == ',' || c == end
}

// empty walks the end of an empty container.
func (w *jsonWalk) empty(end byte) bool {
	w.blanks()
	if w.at < len(w.data) && w.data[w.at] == end {
		w.at++
		return true
	}
	return false
}

func (w *jsonWalk) array(s *shape, v reflect.Value, depth int) bool {
	elem, size := w.elementsOf(s)
	if w.empty(']') {
		return true
	}
	grownTo, growth := 0, 0
	for n := 1; ; n++ {
		if n > grownTo {
			grownTo = grown(grownTo)
			growth += rounded(grownTo * size)
		}
		more, sound := false, w.pay(size) && w.value(elem, reflect.Value{}, depth)
		if sound {
			more, sound = w.next(']')
		}
		if more {
			continue
		}
		w.total += growth - n*size
		if n >= minLong && v.IsValid() && v.Kind() == reflect.Slice {
			w.long = append(w.long, longList{v, n})
			w.spare += growth - rounded(n*size)
		}
		return sound
	}
}

// elementsOf returns the shape of the elements of an array, and the size of each in the target.
func (w *jsonWalk) elementsOf(s *shape) (elem *shape, size int) {
	if s == nil {
		return nil, 0
	}
	switch s.kind {
	case asList:
		return s.elem, s.elem.size
	case asDynamic:
		w.total += boxBytes
		return s.elem, s.elem.size
	case asArray:
		return s.elem, 0
	case asBytes:
		return nil, 1
	default:
		return nil, 0
	}
}

func (w *jsonWalk) object(s *shape, v reflect.Value, depth int) bool {
	record, dict := s != nil && s.kind == asRecord, s != nil && (s.kind == asDict || s.kind == asDynamic)
	if dict {
		w.total += mapBytes + rounded(s.key.size) + rounded(s.elem.size) // the decoder allocates one of each
	}
	if w.empty('}') {
		return true
	}
	for n, capacity := 1, 0; ; n++ {
		w.blanks()
		if w.at >= len(w.data) || w.data[w.at] != '"' {
			return false
		}
		name, escaped, ok := w.text()
		if !ok {
			return false
		}
		w.blanks()
		if w.at >= len(w.data) || w.data[w.at] != ':' {
			return false
		}
		w.at++
		var member *shape
		var into reflect.Value
		switch {
		case dict:
			member = s.elem
			slot, aside := jsonDialect.entrySizes(s.key.size, s.elem.size)
			if n > fits(capacity) {
				capacity = max(groupSlots, 2*capacity)
				w.total += tableCost(capacity, slot)
			}
			w.total += aside + jsonTextCost(stringShape, len(name), escaped)
			if s.key.kind != asText {
				w.total += nameBytes + 3*len(name)
			}
		case record:
			member, into = w.member(s, name, escaped, v)
		default:
			w.total += nameBytes + 3*len(name)
		}
		if !w.value(member, into, depth) {
			return false
		}
		if more, sound := w.next('}'); !more {
			return sound
		}
	}
}

// member returns the member of a record with a name from the payload, and its field in v.
func (w *jsonWalk) member(s *shape, name []byte, escaped bool, v reflect.Value) (m *shape, into reflect.Value) {
	if escaped {
		quoted := append(append([]byte{'"'}, name...), '"')
		name, _ = jsontext.AppendUnquote(nil, quoted)
	}
	m, field := s.member(name)
	if field >= 0 && v.IsValid() {
		into = v.Field(field)
	}
	if m == nil {
		w.total += nameBytes + 3*len(name)
		if m = s.rest; m != nil {
			w.total += jsonDialect.dictCost(1, stringShape.size, m.size)
		}
	}
	return m, into
}

// fits reports whether decoding stays within the limit, if necessary with long lists allocated at their lengths.
func (w *jsonWalk) fits() bool {
	if w.over() {
		w.exact = true
		w.total -= w.spare
	}
	return !w.over()
}

// fill allocates the long lists at their lengths, if necessary.
func (w *jsonWalk) fill() {
	if !w.exact {
		return
	}
	for _, l := range w.long {
		l.list.Set(reflect.MakeSlice(l.list.Type(), 0, l.n))
	}
}

const (
	anyFactor = 4   // cost of an object for a google.protobuf.Any, per byte: it is first searched for the type,
	anyBytes  = 512 // cost per object: its decoded value is encoded
)

// inAny returns the shape of the google.protobuf.Any at this position; nil if its type is unknown. Nested ones are searched
// repeatedly, so the length of each counts.
func (w *jsonWalk) inAny() *shape {
	url, n := typeInAny(w.data[w.at:])
	w.total += anyBytes + anyFactor*n
	if url == "" || w.total-w.spare > w.max {
		return nil
	}
	found, err := protoregistry.GlobalTypes.FindMessageByURL(url)
	if err != nil {
		return nil
	}
	inner := knownOf(found.New()).plan.root
	w.total += rounded(inner.size)
	if ownValue[found.Descriptor().FullName()] {
		return &shape{kind: asRecord, members: map[string]*shape{"value": inner}}
	}
	return inner
}

// ownValue lists the messages that an Any encodes as the member "value", instead of merging their members.
var ownValue = map[protoreflect.FullName]bool{
	"google.protobuf.Any": true, "google.protobuf.Timestamp": true, "google.protobuf.Duration": true,
	"google.protobuf.BoolValue": true, "google.protobuf.Int32Value": true, "google.protobuf.Int64Value": true,
	"google.protobuf.UInt32Value": true, "google.protobuf.UInt64Value": true, "google.protobuf.FloatValue": true,
	"google.protobuf.DoubleValue": true, "google.protobuf.StringValue": true, "google.protobuf.BytesValue": true,
	"google.protobuf.Struct": true, "google.protobuf.ListValue": true, "google.protobuf.Value": true,
	"google.protobuf.FieldMask": true, "google.protobuf.Empty": true,
}

// typeInAny returns the member @type of the JSON object at the beginning of data, and the length of the object.
func typeInAny(data []byte) (url string, n int) {
	w := newFieldWalk(data)
	err := w.members(func(name string) error {
		if name != "@type" || w.PeekKind() != '"' {
			return w.SkipValue()
		}
		t, err := w.ReadToken()
		if err == nil {
			url = t.String()
		}
		return err
	})
	if err != nil {
		return "", len(data)
	}
	return url, int(w.InputOffset())
}
