package client

import (
	"bytes"
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
	"github.com/easymicro/easymicro/wire"
)

// Prefixes of Options.HashOn.
const (
	hashMetadata = "metadata"
	hashArgument = "argument"
)

// maxHashWarnings limits the argument types without the field that are logged: programs can make types at run time.
const maxHashWarnings = 100

// hasher determines the keys of calls for consistentHash.
type hasher struct {
	on       string       // a metadata key, or the plain name of a field; empty: no keys
	metadata bool         // on is a metadata key
	fields   sync.Map     // of reflect.Type: the []int of the field that on names
	lacking  atomic.Int64 // types without the field
	warn     func(reflect.Type)
}

// init parses Options.HashOn. warn is called for argument types without the field.
func (h *hasher) init(on string, warn func(reflect.Type)) {
	where, name, _ := strings.Cut(on, ".")
	h.warn, h.metadata = warn, where == hashMetadata
	if h.on = name; !h.metadata {
		h.on = plainName(name)
	}
}

// hashKey is the key of a call, if it has one.
type hashKey struct {
	hash   uint64
	hashed bool
}

// argument sets k to the key of an argument.
func (h *hasher) argument(args any, k *hashKey) {
	v := reflect.ValueOf(args)
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		index, ok := h.field(v.Type())
		if !ok {
			return
		}
		if field, err := v.FieldByIndexErr(index); err == nil {
			k.setValue(field)
		}
	case reflect.Map:
		for each := v.MapRange(); each.Next(); {
			if name := each.Key(); name.Kind() == reflect.String && plainName(name.String()) == h.on {
				k.setValue(each.Value())
				return
			}
		}
	case reflect.Invalid: // nil
	default:
		h.field(v.Type())
	}
}

// field returns the index of the key's field in t, and caches it.
func (h *hasher) field(t reflect.Type) (index []int, ok bool) {
	if known, ok := h.fields.Load(t); ok {
		index, _ = known.([]int)
		return index, index != nil
	}
	var fields []reflect.StructField
	if t.Kind() == reflect.Struct {
		fields = reflect.VisibleFields(t)
	}
	for _, f := range fields {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && (plainName(f.Name) == h.on || tag != "" && plainName(tag) == h.on) {
			index = f.Index
			break
		}
	}
	if _, known := h.fields.LoadOrStore(t, index); !known && index == nil && h.lacking.Add(1) <= maxHashWarnings {
		h.warn(t)
	}
	return index, index != nil
}

// plainName normalizes the spelling of a name: user_id, userId and UserID are the same.
func plainName(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// setText makes text the key, unless it is empty: otherwise one endpoint would get all calls without a value.
func (k *hashKey) setText(text string) {
	if text != "" {
		k.hash, k.hashed = hashOf(text), true
	}
}

// setValue makes the JSON form of a value the key, so that a field and the JSON member encoded from it have the same key.
func (k *hashKey) setValue(v reflect.Value) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	var b [32]byte
	text := b[:0]
	switch {
	case !v.IsValid() || !v.CanInterface():
		return
	case marshalsItself(v):
		k.setJSON(v)
		return
	case v.Kind() == reflect.String:
		k.setText(v.String())
		return
	case v.CanInt():
		text = strconv.AppendInt(text, v.Int(), 10)
	case v.CanUint():
		text = strconv.AppendUint(text, v.Uint(), 10)
	case v.Kind() == reflect.Bool:
		text = strconv.AppendBool(text, v.Bool())
	default:
		k.setJSON(v)
		return
	}
	k.hash, k.hashed = xxhash.Sum64(text), true
}

// setJSON makes the encoded value the key.
func (k *hashKey) setJSON(v reflect.Value) {
	if v.CanAddr() {
		v = v.Addr() // for the methods of the pointer
	}
	text, err := wire.Append(wire.JSON, nil, v.Interface())
	if err != nil {
		return // it has no JSON form
	}
	k.setText(jsonKey(text))
}

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// marshalsItself reports whether the type of a value defines its JSON form.
func marshalsItself(v reflect.Value) bool {
	t := v.Type()
	if t.PkgPath() == "" { // it has no methods
		return false
	}
	does := func(t reflect.Type) bool { return t.Implements(jsonMarshaler) || t.Implements(textMarshaler) }
	return does(t) || v.CanAddr() && does(reflect.PointerTo(t))
}

// jsonKey normalizes JSON, so that all ways to write a value are the same key: strings lose their quotes, numbers are as
// encoding/json writes them, objects have their names in order. null is empty. Numbers in arrays and objects stay as they
// are.
func jsonKey(text []byte) string {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return ""
	}
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return plainNumber(v.String())
	}
	plain, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(plain)
}

// plainNumber returns a number in the form of encoding/json: integers in digits, others in the shortest form.
func plainNumber(text string) string {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return strconv.FormatInt(n, 10) // -0 is 0
	}
	if _, err := strconv.ParseUint(text, 10, 64); err == nil {
		return text
	}
	f, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil:
		return text // too large
	case f == 0:
		return "0" // nor is -0.0
	}
	plain, err := json.Marshal(f)
	if err != nil {
		return text
	}
	return string(plain)
}

// jsonMember returns the key from the member of a JSON object with a plain name, or "".
func jsonMember(payload []byte, name string) string {
	d := json.NewDecoder(bytes.NewReader(payload))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return ""
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return ""
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return ""
		}
		if text, ok := key.(string); ok && plainName(text) == name {
			return jsonKey(value)
		}
	}
	return ""
}
