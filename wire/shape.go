package wire

import (
	"maps"
	"reflect"
	"slices"
	"sync"
)

// shapeKind is how a decoder takes a value.
type shapeKind byte

const (
	asScalar  shapeKind = iota // allocates nothing
	asBytes                    // bytes, as long as the payload has them
	asText                     // a string: the same, which the decoder has to copy
	asOwn                      // a type that decodes itself: the decoder copies its part of the payload for it
	asPointer                  // an allocation with elem in it
	asList                     // a slice
	asArray                    // an array, which is part of its container
	asDict                     // a map
	asRecord                   // a struct
	asDynamic                  // an interface: whatever the payload has
)

// shape is what the decoder of a codec allocates for values of a Go type.
type shape struct {
	kind  shapeKind
	size  int // of its place in a list or a map
	boxed int // of what a pointer leads to
	key   *shape
	elem  *shape // of pointers, lists, arrays, maps

	members map[string]*shape // of records, by the name in the payload
	folded  map[string]*shape // the same, by a name that JSON compares without regard to case
	direct  map[string]int    // the fields that are lists, by folded name
	ids     map[int32]*shape  // of records, by number
	ordered []*shape          // of records that come as lists of values
	rest    *shape            // of records: what takes all other members
	lists   int               // of records of protobuf: how many of the fields are lists
	slot    int               // of such a list: which of them it is
}

// plan is the shape of a type, with the most that a byte of a payload makes the decoder allocate.
type plan struct {
	root     *shape
	worst    int
	dicts    bool // there are maps in it
	messages bool // it is of a message of protobuf
	every    bool // the decoder of JSON has to collect errors, see jsonEvery

	records []reflect.Type // the structs in it
}

// planCache keeps the plans of one codec by the type of the pointer that is decoded into.
type planCache struct {
	byType sync.Map
	build  func(reflect.Type) *plan
}

func (c *planCache) of(v any) *plan {
	t := reflect.TypeOf(v)
	kept, ok := c.byType.Load(t)
	if !ok {
		kept, _ = c.byType.LoadOrStore(t, c.build(t))
	}
	p, _ := kept.(*plan)
	return p
}

// dialect is what the codecs that decode by reflection differ in.
type dialect struct {
	least  int            // bytes that a value takes in the payload, with what separates it from the next
	twice  bool           // the decoder makes values of lists and maps aside, and copies them
	grows  bool           // the decoder does not know the length of a list or a map before its end
	names  bool           // the decoder remembers the names that a struct does not have
	own    []reflect.Type // interfaces of the types that decode themselves
	fields func(s *shaper, r *shape, t reflect.Type)
}

// shaper makes the shapes of a type and of all that are reachable from it.
type shaper struct {
	*dialect
	made map[reflect.Type]*shape
}

// plan makes the plan of a type, which is a pointer.
func (d *dialect) plan(t reflect.Type) *plan {
	s := shaper{dialect: d, made: map[reflect.Type]*shape{}}
	root := new(shape)
	if t != nil && t.Kind() == reflect.Pointer {
		root = s.of(t.Elem())
	}
	p := &plan{root: root}
	for t, made := range s.made {
		if made.kind == asRecord {
			p.records = append(p.records, t)
		}
	}
	p.worst, p.dicts = d.worst(root)
	return p
}

var stringShape = &shape{kind: asText, size: 16}

// of returns the shape of t, which is not complete yet when t contains itself.
func (s *shaper) of(t reflect.Type) *shape {
	if known := s.made[t]; known != nil {
		return known
	}
	r := &shape{size: int(t.Size())}
	s.made[t] = r
	switch kind := t.Kind(); {
	case kind == reflect.Interface:
		r.kind, r.key, r.elem = asDynamic, stringShape, r
	case kind == reflect.Pointer:
		r.kind, r.boxed, r.elem = asPointer, rounded(int(t.Elem().Size())), s.of(t.Elem())
	case implementsAny(t, s.own):
		r.kind = asOwn
	case kind == reflect.String:
		r.kind = asText
	case kind == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		r.kind = asBytes
	case kind == reflect.Slice:
		r.kind, r.elem = asList, s.of(t.Elem())
	case kind == reflect.Array:
		r.kind, r.elem = asArray, s.of(t.Elem())
	case kind == reflect.Map:
		r.kind, r.key, r.elem = asDict, s.of(t.Key()), s.of(t.Elem())
	case kind == reflect.Struct:
		r.kind, r.members = asRecord, map[string]*shape{}
		s.fields(s, r, t)
	}
	return r
}

// implementsAny reports whether a type, or a pointer to it, has the methods of one of the interfaces.
func implementsAny(t reflect.Type, of []reflect.Type) bool {
	p := reflect.PointerTo(t)
	return slices.ContainsFunc(of, func(i reflect.Type) bool { return t.Implements(i) || p.Implements(i) })
}

// behind follows pointers to the value that is decoded, and adds what is allocated on the way.
func (s *shape) behind(b *bill) *shape {
	for i := 0; s != nil && s.kind == asPointer && i < maxPointers; i++ {
		b.total += s.boxed
		s = s.elem
	}
	return s
}

// worst returns the most that a byte of a payload makes the decoder allocate: each value takes some bytes, and costs its
// place in its container and what is allocated for itself. It reports whether there are maps.
func (d *dialect) worst(root *shape) (perByte int, dicts bool) {
	seen := map[*shape]bool{}
	most, perText := 0, textFactor
	var visit func(s *shape, place int)
	visit = func(s *shape, place int) {
		for i := 0; s != nil && s.kind == asPointer && i < maxPointers; i++ {
			place += s.boxed
			s = s.elem
		}
		if s == nil {
			return
		}
		most = max(most, place+d.fixed(s))
		if seen[s] {
			return
		}
		seen[s] = true
		perElement, perEntry := d.perElement(s), d.perEntry(s)
		switch s.kind {
		case asList:
			visit(s.elem, perElement)
		case asArray:
			visit(s.elem, 0)
		case asOwn:
			perText = ownFactor
		case asDict:
			dicts = true
			visit(s.key, 0)
			visit(s.elem, perEntry)
		case asDynamic:
			most = max(most, max(perElement, perEntry)+d.fixed(s))
		case asRecord:
			members := slices.AppendSeq(slices.Collect(maps.Values(s.members)), maps.Values(s.ids))
			for _, m := range append(append(members, s.ordered...), s.rest) {
				visit(m, 0)
			}
		default:
		}
	}
	visit(root, 0)
	if d.names {
		most = max(most, d.least*nameBytes/leastName)
	}
	return perText + (most+d.least-1)/d.least, dicts
}
