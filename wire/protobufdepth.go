package wire

import (
	"reflect"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// nesting has the fields of a message that may contain messages, by number, as the tags of its Go type name them.
// Without tags it has none: whatever has a length may be a message then.
type nesting struct {
	fields map[protowire.Number]*nesting
}

var nestings = &typeCache[*nesting]{build: func(t reflect.Type) *nesting {
	return nestingOf(t, map[reflect.Type]*nesting{})
}}

// nestingOf is the nesting of the messages in a value, which may be behind a pointer or in a list.
func nestingOf(t reflect.Type, made map[reflect.Type]*nesting) *nesting {
	for t != nil && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice) {
		t = t.Elem()
	}
	n, known := made[t]
	if known {
		return n
	}
	n = &nesting{fields: map[protowire.Number]*nesting{}}
	made[t] = n
	if t == nil || t.Kind() != reflect.Struct || !n.add(t, made) {
		n.fields = nil
	}
	return n
}

// add adds the fields of a struct, and reports whether its tags name them all.
func (n *nesting) add(t reflect.Type, made map[reflect.Type]*nesting) bool {
	tagged := false
	for f := range t.Fields() {
		if f.Tag.Get("protobuf_oneof") != "" {
			if !n.addOneof(t, made) {
				return false
			}
			tagged = true
			continue
		}
		parts := strings.Split(f.Tag.Get("protobuf"), ",")
		if len(parts) < 2 {
			if f.Anonymous {
				return false
			}
			continue
		}
		number, err := strconv.Atoi(parts[1])
		if err != nil {
			return false
		}
		tagged = true
		if parts[0] == "bytes" || parts[0] == "group" {
			n.addField(protowire.Number(number), f.Type, made)
		}
	}
	return tagged
}

func (n *nesting) addField(number protowire.Number, t reflect.Type, made map[reflect.Type]*nesting) {
	switch {
	case isText(t):
	case t.Kind() != reflect.Map:
		n.fields[number] = nestingOf(t, made)
	case !isText(t.Elem()):
		n.fields[number] = &nesting{map[protowire.Number]*nesting{2: nestingOf(t.Elem(), made)}} // an entry
	default:
	}
}

// addOneof adds the fields of the oneofs of a struct, which are structs of their own.
func (n *nesting) addOneof(t reflect.Type, made map[reflect.Type]*nesting) bool {
	m, ok := reflect.New(t).Interface().(interface{ XXX_OneofWrappers() []any })
	if !ok {
		return false
	}
	for _, wrapper := range m.XXX_OneofWrappers() {
		if w := reflect.TypeOf(wrapper); w.Kind() != reflect.Pointer || w.Elem().Kind() != reflect.Struct || !n.add(w.Elem(), made) {
			return false
		}
	}
	return true
}

// isText reports whether values of t, or in a list of them, are strings, bytes or numbers.
func isText(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return isText(t.Elem())
	case reflect.Struct, reflect.Map, reflect.Interface, reflect.Array:
		return false
	default:
		return true
	}
}

// in is what a field may contain, and whether that is messages at all.
func (n *nesting) in(number protowire.Number) (inner *nesting, messages bool) {
	if n == nil || n.fields == nil {
		return nil, true
	}
	inner, messages = n.fields[number]
	return inner, messages
}

// protobufTooDeep reports whether data nests messages, or groups, beyond maxDepth. What is malformed is left to the
// decoder, which reads no further either.
func protobufTooDeep(data []byte, depth int, n *nesting) bool {
	if depth == maxDepth {
		return true
	}
	groups := []*nesting{n} // the message and the groups that are open in it
	for len(data) > 0 {
		number, kind, k := protowire.ConsumeTag(data)
		if k < 0 {
			return false
		}
		data = data[k:]
		inner, messages := groups[len(groups)-1].in(number)
		switch kind {
		case protowire.StartGroupType:
			if groups = append(groups, inner); depth+len(groups) > maxDepth {
				return true
			}
			continue
		case protowire.EndGroupType:
			if groups = groups[:len(groups)-1]; len(groups) == 0 {
				return false
			}
			continue
		default: // has a value
		}
		if k = protowire.ConsumeFieldValue(number, kind, data); k < 0 {
			return false
		}
		if kind == protowire.BytesType && messages {
			if value, _ := protowire.ConsumeBytes(data[:k]); protobufTooDeep(value, depth+len(groups), inner) {
				return true
			}
		}
		data = data[k:]
	}
	return false
}
