package wire

import (
	"encoding"
	"errors"
	"reflect"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/vmihailenco/msgpack/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

var (
	errTooLong = errors.New("it does not fit into a frame")
	errEndless = errors.New("it leads back to itself, or is nested too deeply")
)

const (
	maxHops   = 4       // pointers and interfaces that lead to one container or plain value, times its depth
	maxValues = 1 << 22 // of one payload, when they are counted
)

// An encoder that follows pointers to their end needs a stack as deep, and one that overflows ends the process. So what
// can contain itself is walked before.

// encodable is what the codecs that encode by reflection know of types.
type encodable struct {
	depth  int            // of containers, at most
	own    []reflect.Type // interfaces of the types that encode themselves
	byType sync.Map       // of traits
}

// traits is what is known of a type.
type traits struct {
	leaf      bool // nothing in its values is encoded by reflection
	recursive bool // its values can contain values of the type, or whatever a program puts into an interface
}

var (
	jsonEncodable = &encodable{depth: maxJSONDepth - 1, own: []reflect.Type{
		reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.MarshalerTo](), reflect.TypeFor[encoding.TextMarshaler](),
	}}
	msgpackEncodable = &encodable{depth: maxDepth, own: []reflect.Type{
		reflect.TypeFor[msgpack.CustomEncoder](), reflect.TypeFor[msgpack.Marshaler](),
		reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.TextMarshaler](),
	}}
	codedEncodable = &encodable{depth: maxDepth} // of types with methods for it, made by a compiler
)

// check fails when encoding v would not come to an end, or to one that nobody can send.
func (e *encodable) check(v any) error {
	t := reflect.TypeOf(v)
	if t == nil || !e.of(t).recursive {
		return nil
	}
	w := valueWalk{encodable: e}
	return w.value(reflect.ValueOf(v), 0, 0)
}

func (e *encodable) of(t reflect.Type) traits {
	known, ok := e.byType.Load(t)
	if !ok {
		known, _ = e.byType.LoadOrStore(t, traits{leaf: e.leaf(t), recursive: e.leadsBack(t, map[reflect.Type]bool{})})
	}
	found, _ := known.(traits)
	return found
}

// leadsBack searches t for an interface, or for a type on the way to itself: open is true for those.
func (e *encodable) leadsBack(t reflect.Type, open map[reflect.Type]bool) bool {
	if onTheWay, seen := open[t]; seen {
		return onTheWay
	}
	if e.leaf(t) {
		return false
	}
	open[t] = true
	defer func() { open[t] = false }()
	switch t.Kind() {
	case reflect.Interface:
		return true
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return e.leadsBack(t.Elem(), open)
	case reflect.Map:
		return e.leadsBack(t.Key(), open) || e.leadsBack(t.Elem(), open)
	case reflect.Struct:
		for f := range t.Fields() {
			if (f.IsExported() || f.Anonymous) && e.leadsBack(f.Type, open) {
				return true
			}
		}
	default:
	}
	return false
}

// leaf reports whether nothing in a value of t is encoded by reflection.
func (e *encodable) leaf(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map, reflect.Struct:
		return len(e.own) > 0 && t.Kind() != reflect.Pointer && implementsAny(t, e.own)
	case reflect.Interface:
		return false
	default:
		return true
	}
}

// valueWalk counts what a value holds.
type valueWalk struct {
	*encodable
	values, bytes int
}

// value walks v, which is in depth containers, behind hops pointers and interfaces.
func (w *valueWalk) value(v reflect.Value, depth, hops int) error {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return nil
		}
		hops++
		if hops > maxHops*w.depth {
			return errEndless
		}
		v = v.Elem()
	}
	if err := w.count(v); err != nil || w.of(v.Type()).leaf {
		return err
	}
	if depth == w.depth {
		return errEndless
	}
	return w.inside(v, depth+1, hops)
}

func (w *valueWalk) count(v reflect.Value) error {
	w.values++
	if v.Kind() == reflect.String {
		w.bytes += v.Len()
	}
	if w.values > maxValues || w.bytes > maxPayload {
		return errTooLong
	}
	return nil
}

func (w *valueWalk) inside(v reflect.Value, depth, hops int) error {
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		if !w.of(v.Type().Elem()).recursive {
			w.bytes += v.Len() // each is a byte at least
			return w.count(reflect.Value{})
		}
		for i := range v.Len() {
			if err := w.value(v.Index(i), depth, hops); err != nil {
				return err
			}
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			if err := w.value(entries.Key(), depth, hops); err != nil {
				return err
			}
			if err := w.value(entries.Value(), depth, hops); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); (f.IsExported() || f.Anonymous) && w.of(f.Type).recursive {
				if err := w.value(v.Field(i), depth, hops); err != nil {
					return err
				}
			}
		}
	default:
	}
	return nil
}

// recursiveMessages has for each message of protobuf whether it can contain itself, by its descriptor.
var recursiveMessages sync.Map

// checkMessage is check for a message of protobuf.
func checkMessage(m proto.Message) error {
	r := m.ProtoReflect()
	if !messageLeadsBack(r.Descriptor()) {
		return nil
	}
	w := valueWalk{encodable: codedEncodable}
	return w.message(r, 0)
}

func messageLeadsBack(md protoreflect.MessageDescriptor) bool {
	if known, ok := recursiveMessages.Load(md); ok {
		ok, _ := known.(bool)
		return ok
	}
	found := reaches(md, map[protoreflect.FullName]bool{})
	recursiveMessages.Store(md, found)
	return found
}

// reaches searches md for a message on the way to itself: open is true for those. Extensions can be anything.
func reaches(md protoreflect.MessageDescriptor, open map[protoreflect.FullName]bool) bool {
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
		if fd.Message() != nil && reaches(fd.Message(), open) {
			return true
		}
	}
	return md.ExtensionRanges().Len() > 0
}

func (w *valueWalk) message(m protoreflect.Message, depth int) (err error) {
	w.values++
	if depth == w.depth {
		return errEndless
	}
	if w.values > maxValues {
		return errTooLong
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap() && fd.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				err = w.message(v.Message(), depth+1)
				return err == nil
			})
		case fd.IsMap() || fd.Message() == nil:
		case fd.IsList():
			for i := 0; i < v.List().Len() && err == nil; i++ {
				err = w.message(v.List().Get(i).Message(), depth+1)
			}
		default:
			err = w.message(v.Message(), depth+1)
		}
		return err == nil
	})
	return err
}
