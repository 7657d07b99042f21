package wire

import (
	"maps"
	"slices"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// shapeKind is how a decoder treats a value.
type shapeKind byte

const (
	asScalar  shapeKind = iota // allocates nothing
	asBytes                    // bytes
	asText                     // a string: bytes that the decoder has to copy
	asOwn                      // a type that decodes itself: the decoder copies its part of the payload for it
	asPointer                  // a pointer to elem, which is allocated
	asList                     // a slice
	asArray                    // an array, part of its container
	asDict                     // a map
	asRecord                   // a struct
	asDynamic                  // an interface: any value
)

// shape describes what a decoder allocates for values of a Go type.
type shape struct {
	kind  shapeKind
	time  bool // it is a time.Time
	any   bool // it is a google.protobuf.Any
	size  int  // in a list or a map
	boxed int  // size of what a pointer points to
	key   *shape
	elem  *shape // of pointers, lists, arrays, maps

	members   map[string]*shape // of records, by the name in the payload
	folded    map[string]string // those names by their folded spelling, if JSON ignores case
	direct    map[string]int    // indexes of the fields that are lists, by name
	names     []string          // of the members in JSON, in the order of the fields
	caseClash bool              // some names differ in case only
	ids       shapesByID        // of records
	ordered   []*shape          // of records that are encoded as lists of values
	rest      *shape            // of records: the shape of all other members

	lists int            // of protobuf messages: how many fields are lists
	slot  int            // of such a list: its number
	wire  protowire.Type // of fields of protobuf messages: how a value is encoded
	extra int            // of such fields: additional cost of a value
}

// shapesByID are the shapes of a record's fields by number.
type shapesByID struct {
	low  []*shape // those up to maxLowID
	high map[int32]*shape
}

const maxLowID = 255

func (s *shapesByID) at(id int32) *shape {
	if uint32(id) < uint32(len(s.low)) {
		return s.low[id]
	}
	return s.high[id]
}

func (s *shapesByID) set(id int32, field *shape) {
	if id < 0 || id > maxLowID {
		if s.high == nil {
			s.high = make(map[int32]*shape)
		}
		s.high[id] = field
		return
	}
	for len(s.low) <= int(id) {
		s.low = append(s.low, nil)
	}
	s.low[id] = field
}

// all returns the shapes, among them nil for numbers without a field.
func (s *shapesByID) all() []*shape {
	return slices.AppendSeq(slices.Clone(s.low), maps.Values(s.high))
}

var stringShape = &shape{kind: asText, size: 16}

// deref follows pointers to the value, and adds what they allocate to b.
func (s *shape) deref(b *tally) *shape {
	for i := 0; s != nil && s.kind == asPointer && i < maxPointers; i++ {
		b.total += s.boxed
		s = s.elem
	}
	return s
}

// isPlain reports whether a value is a scalar or bytes, possibly behind a pointer.
func (s *shape) isPlain() bool {
	return s.kind <= asText || s.kind == asPointer && s.elem.kind <= asText
}

// addMember adds a member of a record. Of two with the same name it keeps the more costly kind.
func (s *shape) addMember(name string, member *shape) {
	if old := s.members[name]; old == nil || old.kind < member.kind {
		s.members[name] = member
	}
}

// member returns the member with a name. If it is a list in a field of the struct itself, field is its index, otherwise -1.
func (s *shape) member(name []byte) (m *shape, field int) {
	exact := string(name)
	if m = s.members[exact]; m == nil && s.folded != nil {
		exact = s.folded[foldedName(name)]
		m = s.members[exact]
	}
	if m != nil && m.kind == asList {
		if i, direct := s.direct[exact]; direct {
			return m, i
		}
	}
	return m, -1
}

// tally adds up what decoding allocates. Decoding stops when the total exceeds max.
type tally struct {
	total, max int
}

func (b *tally) add(n int) (enough bool) {
	b.total += n
	return b.total <= b.max
}

func (b *tally) over() bool { return b.total > b.max }

const (
	maxPointers = 8 // levels of pointers to pointers

	textFactor = 3   // a text is copied to a growing buffer, and from there
	boxBytes   = 32  // of a text, a list or a number in an interface
	ownBytes   = 64  // initial copy for a type that decodes itself,
	ownFactor  = 7   // which grows as bytes are appended to it
	nameBytes  = 160 // to remember a name, for detecting duplicates;
	minName    = 7   // minimum length of a member whose name is remembered: names differ
	mapBytes   = 48  // of an empty map
	tokenBytes = 64  // of a value that is decoded into a message
	errorBytes = 200 // of the error for a mismatched value, when errors are collected
	groupSlots = 8   // initial capacity of a map
	maxInSlot  = 128 // of a key or a value; larger ones are allocated separately
)

// rounded returns an upper bound of what the allocator uses for n bytes.
func rounded(n int) int {
	const page = 8 << 10
	switch {
	case n <= 0:
		return 0
	case n <= 1<<10:
		return (n + n/6 + 15) &^ 15
	case n <= 32<<10:
		return n + n/5
	}
	return (n + page - 1) / page * page
}

// grown returns the capacity after append to a full list.
func grown(capacity int) int {
	switch {
	case capacity == 0:
		return 1
	case capacity < 256:
		return 2 * capacity
	}
	return capacity + (capacity+3*256)/4
}

// fits returns the number of entries a map holds before it grows.
func fits(capacity int) int {
	if capacity <= groupSlots {
		return capacity
	}
	return capacity * 7 / 8
}

// tableCost returns the cost of the capacity of a map. Large maps have several tables, which grow separately.
func tableCost(capacity, slot int) int { return rounded(capacity*slot) * 5 / 4 }

// foldedName returns the same string for names that differ only in case.
func foldedName(name []byte) string {
	folded := make([]byte, 0, 32)
	for i := 0; i < len(name); {
		c := name[i]
		if c < utf8.RuneSelf {
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			folded = append(folded, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(name[i:])
		folded = utf8.AppendRune(folded, foldedRune(r))
		i += n
	}
	return string(folded)
}

// foldedRune returns the smallest of the runes that are equal under case folding.
func foldedRune(r rune) rune {
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}
