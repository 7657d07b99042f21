package wire

import (
	"reflect"
	"slices"
)

// shaper makes the shapes of a type and of all that are reachable from it.
type shaper struct {
	own    []reflect.Type // interfaces of the types that decode themselves
	fields func(s *shaper, r *shape, t reflect.Type)
	made   map[reflect.Type]*shape
}

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

// implementsAny reports whether a type, or a pointer to it, has the methods of one of the interfaces.
func implementsAny(t reflect.Type, of []reflect.Type) bool {
	p := reflect.PointerTo(t)
	return slices.ContainsFunc(of, func(i reflect.Type) bool { return t.Implements(i) || p.Implements(i) })
}

// structBehind is the struct that t is or points to, or nil.
func structBehind(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return t
}
