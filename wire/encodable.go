package wire

import (
	"encoding"
	"errors"
	"reflect"

	"github.com/go-json-experiment/json"
	"github.com/vmihailenco/msgpack/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

var (
	errTooMany = errors.New("too many values")
	errEndless = errors.New("it contains itself, is nested too deeply or is behind too many pointers")
)

const (
	maxHops   = 8       // pointers, interfaces and lists on the path to a value, per level of depth
	maxValues = 1 << 22 // of one payload
)

// An encoder follows pointers recursively, and a stack that overflows ends the process. So values that can contain
// themselves are walked first.

// encodable checks values before a codec encodes them by reflection.
type encodable struct {
	depth     int            // maximum nesting of containers
	generated bool           // structs have generated methods: only structs count as containers, without the wrappers of oneofs
	own       []reflect.Type // interfaces of the types that encode themselves
	known     typeCache[*traits]
}

// traits is what is known about a type.
type traits struct {
	leaf      bool // its values contain nothing that is encoded by reflection
	recursive bool // its values can contain values of the type, or an interface
	key, elem *traits
	fields    []fieldTraits // those that are recursive
}

type fieldTraits struct {
	index int
	*traits
}

var (
	jsonEncodable = newEncodable(maxJSONDepth-1, false,
		reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.MarshalerTo](), reflect.TypeFor[encoding.TextMarshaler]())
	msgpackEncodable = newEncodable(maxDepth, false,
		reflect.TypeFor[msgpack.CustomEncoder](), reflect.TypeFor[msgpack.Marshaler](),
		reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.TextMarshaler]())
	codedEncodable = newEncodable(maxDepth, true) // for types with generated methods
)

func newEncodable(depth int, generated bool, own ...reflect.Type) *encodable {
	e := &encodable{depth: depth, generated: generated, own: own}
	e.known.build = func(t reflect.Type) *traits { return e.traits(t, map[reflect.Type]*traits{}) }
	return e
}

// check returns an error if encoding v would not terminate or would exceed a frame.
func (e *encodable) check(v any) error {
	t := reflect.TypeOf(v)
	if t == nil {
		return nil
	}
	known := e.known.of(t)
	if !known.recursive {
		return nil
	}
	w := valueWalk{encodable: e}
	return w.value(reflect.ValueOf(v), known, 0, 0)
}

// traits returns the traits of t and of all types reachable from it.
func (e *encodable) traits(t reflect.Type, made map[reflect.Type]*traits) *traits {
	if known := made[t]; known != nil {
		return known
	}
	r := &traits{leaf: e.leaf(t), recursive: e.leadsBack(t, map[reflect.Type]bool{})}
	made[t] = r
	if !r.recursive {
		return r
	}
	switch t.Kind() {
	case reflect.Map:
		r.key, r.elem = e.traits(t.Key(), made), e.traits(t.Elem(), made)
	case reflect.Pointer, reflect.Slice, reflect.Array:
		r.elem = e.traits(t.Elem(), made)
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() || f.Anonymous {
				if known := e.traits(f.Type, made); known.recursive {
					r.fields = append(r.fields, fieldTraits{i, known})
				}
			}
		}
	default:
	}
	return r
}

// leadsBack reports whether t can contain an interface or itself. open is true for the types on the path to t.
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

// leaf reports whether values of t contain nothing that is encoded by reflection.
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

// valueWalk counts the values and bytes of a value.
type valueWalk struct {
	*encodable
	values, bytes int
}

// value walks v, which is nested in depth containers and behind hops pointers, interfaces and lists.
func (w *valueWalk) value(v reflect.Value, t *traits, depth, hops int) error {
	wrapped := false
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return nil
		}
		hops++
		if hops > maxHops*w.depth {
			return errEndless
		}
		wrapped = wrapped || v.Kind() == reflect.Interface
		if v = v.Elem(); t.elem != nil {
			t = t.elem
		} else {
			t = w.known.of(v.Type())
		}
	}
	if err := w.count(v, t); err != nil || t.leaf || !t.recursive {
		return err
	}
	if !w.generated || v.Kind() == reflect.Struct && !wrapped {
		depth++
	}
	if depth > w.depth || hops > maxHops*w.depth {
		return errEndless
	}
	return w.inside(v, t, depth, hops+1)
}

func (w *valueWalk) count(v reflect.Value, t *traits) error {
	w.values++
	switch v.Kind() {
	case reflect.String:
		w.bytes += v.Len()
	case reflect.Slice, reflect.Array:
		if !t.recursive {
			w.bytes += v.Len() // at least a byte each
		}
	default:
	}
	switch {
	case w.values > maxValues:
		return errTooMany
	case w.bytes > maxPayload:
		return errTooLong
	}
	return nil
}

func (w *valueWalk) inside(v reflect.Value, t *traits, depth, hops int) error {
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if err := w.value(v.Index(i), t.elem, depth, hops); err != nil {
				return err
			}
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			if err := w.value(entries.Key(), t.key, depth, hops); err != nil {
				return err
			}
			if err := w.value(entries.Value(), t.elem, depth, hops); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for _, f := range t.fields {
			if err := w.value(v.Field(f.index), f.traits, depth, hops); err != nil {
				return err
			}
		}
	default:
	}
	return nil
}

// maxAnys is the maximum nesting of google.protobuf.Any over HTTP, where each is decoded to be encoded as JSON.
const maxAnys = 16

// checkMessage is like encodable.check, for a protobuf message in binary or as JSON.
func checkMessage(m proto.Message, asJSON bool) error {
	if known := knownFor(m); !known.recursive && (!asJSON || !known.anys) {
		return nil
	}
	w := messageWalk{asJSON: asJSON}
	return w.message(m.ProtoReflect(), 0, 0)
}

// messageWalk counts the messages in a message.
type messageWalk struct {
	asJSON bool
	values int
}

func (w *messageWalk) message(m protoreflect.Message, depth, anys int) (err error) {
	w.values++
	switch {
	case depth == maxDepth || anys > maxAnys:
		return errEndless
	case w.values > maxValues:
		return errTooMany
	case w.asJSON && m.Descriptor().FullName() == anyName:
		return w.inside(m, depth, anys)
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap() && fd.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				err = w.message(v.Message(), depth+1, anys)
				return err == nil
			})
		case fd.IsMap() || fd.Message() == nil:
		case fd.IsList():
			for i := 0; i < v.List().Len() && err == nil; i++ {
				err = w.message(v.List().Get(i).Message(), depth+1, anys)
			}
		default:
			err = w.message(v.Message(), depth+1, anys)
		}
		return err == nil
	})
	return err
}

// inside walks the message in a google.protobuf.Any, if its nesting can be unbounded. Errors are left to the encoder.
func (w *messageWalk) inside(m protoreflect.Message, depth, anys int) error {
	fields := m.Descriptor().Fields()
	found, err := protoregistry.GlobalTypes.FindMessageByURL(m.Get(fields.ByNumber(1)).String())
	if err != nil {
		return nil //nolint:nilerr // the encoder finds it
	}
	inner := found.New()
	if known := knownOf(inner); !known.recursive && !known.anys {
		return nil
	}
	o := proto.UnmarshalOptions{AllowPartial: true, RecursionLimit: maxDepth}
	if err := o.Unmarshal(m.Get(fields.ByNumber(2)).Bytes(), inner.Interface()); err != nil {
		return nil //nolint:nilerr // the same
	}
	return w.message(inner, depth+1, anys+1)
}
