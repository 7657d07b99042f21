package wire

import (
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// dialect describes how a codec's decoder allocates.
type dialect struct {
	minBytes int            // minimum length of a value in the payload, with its separator
	copies   bool           // values of lists and maps are allocated separately, and copied
	grows    bool           // lists and maps do not announce their lengths
	names    bool           // names that a struct lacks are remembered
	own      []reflect.Type // interfaces of the types that decode themselves
	fields   func(s *shaper, r *shape, t reflect.Type)
}

// plan returns the plan of a pointer type, and the structs in it.
func (d *dialect) plan(t reflect.Type) (p *plan, structs map[reflect.Type]*shape) {
	s := shaper{own: d.own, fields: d.fields, made: map[reflect.Type]*shape{}}
	p = &plan{root: new(shape)}
	if t != nil && t.Kind() == reflect.Pointer {
		p.root = s.of(t.Elem())
	}
	p.maxPerByte = d.maxPerByte(p.root)
	return p, s.made
}

// maxPerByte returns the maximum that the decoder allocates for each byte of a payload: a value takes at least minBytes, and
// costs its place in its container and its own allocations.
func (d *dialect) maxPerByte(root *shape) (perByte int) {
	seen := map[*shape]bool{}
	maximum, perText := 0, textFactor
	var visit func(s *shape, place int)
	visit = func(s *shape, place int) {
		for i := 0; s != nil && s.kind == asPointer && i < maxPointers; i++ {
			place += s.boxed
			s = s.elem
		}
		if s == nil {
			return
		}
		maximum = max(maximum, place+d.fixed(s))
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
			visit(s.key, 0)
			visit(s.elem, perEntry)
		case asDynamic:
			maximum = max(maximum, max(perElement, perEntry)+d.fixed(s))
		case asRecord:
			members := slices.AppendSeq(s.ids.all(), maps.Values(s.members))
			for _, m := range append(append(members, s.ordered...), s.rest) {
				visit(m, 0)
			}
		default:
		}
	}
	visit(root, 0)
	if d.names {
		maximum = max(maximum, d.minBytes*nameBytes/minName)
	}
	return perText + (maximum+d.minBytes-1)/d.minBytes
}

// listCost returns the cost of a list of n elements, without their own allocations.
func (d *dialect) listCost(n, size int) int {
	if d.copies {
		return 2 * rounded(n*size)
	}
	return rounded(n * size)
}

// entrySizes returns the size of an entry within the map, and of what it allocates outside.
func (d *dialect) entrySizes(key, elem int) (slot, aside int) {
	slot = 1
	for _, size := range [...]int{key, elem} {
		if size > maxInSlot {
			slot, aside = slot+8, aside+rounded(size)
		} else {
			slot += size
		}
		if d.copies {
			aside += rounded(size)
		}
	}
	return slot, aside
}

// dictCost returns the cost of a map of n entries, without mapBytes and the entries' own allocations.
func (d *dialect) dictCost(n, key, elem int) int {
	slot, aside := d.entrySizes(key, elem)
	capacity := 0
	for fits(capacity) < n {
		capacity = max(groupSlots, 2*capacity)
	}
	return tableCost(capacity, slot) + n*aside
}

// perElement returns the maximum that an element adds to the cost of a list.
func (d *dialect) perElement(s *shape) int {
	if s.elem == nil {
		return 0
	}
	if d.grows {
		return 8*s.elem.size + 16
	}
	return d.listCost(1, s.elem.size)
}

// perEntry returns the maximum that an entry adds to the cost of a map.
func (d *dialect) perEntry(s *shape) int {
	if s.elem == nil || s.key == nil {
		return 0
	}
	return d.dictCost(1, s.key.size, s.elem.size)
}

// fixed returns the cost of a value without its place in a container, its elements and the bytes of its texts.
func (d *dialect) fixed(s *shape) int {
	switch s.kind {
	case asText:
		return 16
	case asOwn:
		return ownBytes
	case asDict:
		if d.grows {
			return mapBytes + rounded(s.key.size) + rounded(s.elem.size)
		}
		return mapBytes
	case asDynamic:
		return boxBytes + mapBytes
	default:
		return 0
	}
}

// plan is what is known about decoding a type with a codec.
type plan struct {
	root           *shape
	maxPerByte     int  // maximum allocated for each byte of a payload
	maxPerByteJSON int  // the same for protobuf messages over HTTP
	walkAlways     bool // even short payloads are walked
	allErrors      bool // the JSON decoder has to collect errors, see jsonNeedsAllErrors
}

// perByte returns the maximum that the decoder allocates for each byte of a payload.
func (p *plan) perByte(c Codec) int {
	if c == JSON && p.maxPerByteJSON > 0 {
		return p.maxPerByteJSON
	}
	return p.maxPerByte
}

// shaper makes the shapes of a type and of all types reachable from it.
type shaper struct {
	own    []reflect.Type // interfaces of the types that decode themselves
	fields func(s *shaper, r *shape, t reflect.Type)
	made   map[reflect.Type]*shape
}

// of returns the shape of t, which is incomplete while t contains itself.
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
		r.kind, r.time = asOwn, t == timeType
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

// implementsAny reports whether t or *t implements one of the interfaces.
func implementsAny(t reflect.Type, of []reflect.Type) bool {
	p := reflect.PointerTo(t)
	return slices.ContainsFunc(of, func(i reflect.Type) bool { return t.Implements(i) || p.Implements(i) })
}

// structBehind returns the struct that t is or points to, or nil.
func structBehind(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return t
}

var timeType = reflect.TypeFor[time.Time]()

// typeCache caches values by type, or by another pointer. Reading takes no lock and hashes only an address.
type typeCache[V any] struct {
	build func(reflect.Type) V
	known atomic.Pointer[map[uintptr]V]
	mu    sync.Mutex // for writing known
}

// maxKnown limits the entries of a cache: programs can make types, or descriptors, for each call.
const maxKnown = 1 << 12

func (c *typeCache[V]) of(t reflect.Type) V {
	if v, ok := c.load(t); ok {
		return v
	}
	v := c.build(t)
	c.store(t, v)
	return v
}

func (c *typeCache[V]) load(key any) (v V, ok bool) {
	if known := c.known.Load(); known != nil {
		v, ok = (*known)[addressOf(key)]
	}
	return v, ok
}

// store adds v. Unless the key is a type, v must keep it from being garbage collected.
func (c *typeCache[V]) store(key any, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := map[uintptr]V{}
	if known := c.known.Load(); known != nil && len(*known) < maxKnown {
		for address, old := range *known {
			next[address] = old
		}
	}
	next[addressOf(key)] = v
	c.known.Store(&next)
}

// addressOf returns 0 for a value that is not a pointer.
func addressOf(key any) uintptr {
	if v := reflect.ValueOf(key); v.Kind() == reflect.Pointer {
		return v.Pointer()
	}
	return 0
}
