package client

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/easymicro/easymicro/wire"
)

// What Options.HashOn begins with.
const (
	hashMetadata = "metadata"
	hashArgument = "argument"
)

// maxHashWarnings is for how many types the log says that they have not what HashOn names: types can be made up.
const maxHashWarnings = 100

// key makes a slot the filter of consistentHash.
func (s *slot) key() (uint64, bool) { return s.call.hash, s.call.hashed }

// hashArgument finds the key of a call that is encoded here.
func (cl *call) hashArgument(args any) {
	if cl.c.hashOn == "" || cl.hashMetadata() {
		return
	}
	v := reflect.ValueOf(args)
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		index, ok := cl.c.fieldOf(v.Type())
		if !ok {
			return
		}
		if field, err := v.FieldByIndexErr(index); err == nil {
			cl.hashValue(field)
		}
	case reflect.Map:
		for each := v.MapRange(); each.Next(); {
			if k := each.Key(); k.Kind() == reflect.String && plainName(k.String()) == cl.c.hashOn {
				cl.hashValue(each.Value())
				return
			}
		}
	case reflect.Invalid: // nil
	default:
		cl.c.fieldOf(v.Type())
	}
}

// hashPayload finds the key of a call that comes encoded. Only JSON is looked into.
func (cl *call) hashPayload() {
	if cl.hashed || cl.c.hashOn == "" || cl.hashMetadata() {
		return
	}
	if cl.req.Codec == wire.JSON && cl.req.Compression == wire.NoCompression {
		cl.hashText(jsonMember(cl.req.Payload, cl.c.hashOn))
	}
}

// hashMetadata finds the key in the metadata. It tells whether that is where to look.
func (cl *call) hashMetadata() bool {
	if !cl.c.hashMeta {
		return false
	}
	cl.hashText(cl.Get(cl.c.hashOn))
	return true
}

// hashText makes text the key. An empty one is none: it would send all calls that have none to one endpoint.
func (cl *call) hashText(text string) {
	if text != "" {
		cl.hash, cl.hashed = hashOf(text), true
	}
}

// hashValue makes a value the key: as it is in JSON, so that the field of an argument and the member of a payload that was
// made of it are one key.
func (cl *call) hashValue(v reflect.Value) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	var b [32]byte
	text := b[:0]
	switch {
	case !v.IsValid() || !v.CanInterface():
		return
	case sayOtherwise(v):
		cl.hashJSON(v)
		return
	case v.Kind() == reflect.String:
		cl.hashText(v.String())
		return
	case v.CanInt():
		text = strconv.AppendInt(text, v.Int(), 10)
	case v.CanUint():
		text = strconv.AppendUint(text, v.Uint(), 10)
	case v.Kind() == reflect.Bool:
		text = strconv.AppendBool(text, v.Bool())
	default:
		cl.hashJSON(v)
		return
	}
	cl.hash, cl.hashed = xxhash.Sum64(text), true
}

// fieldOf is the field of a type of argument that consistentHash goes by. What was found is kept.
func (c *Client) fieldOf(t reflect.Type) (index []int, ok bool) {
	if known, ok := c.fields.Load(t); ok {
		index, _ = known.([]int)
		return index, index != nil
	}
	var fields []reflect.StructField
	if t.Kind() == reflect.Struct {
		fields = reflect.VisibleFields(t)
	}
	for _, f := range fields {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && (plainName(f.Name) == c.hashOn || tag != "" && plainName(tag) == c.hashOn) {
			index = f.Index
			break
		}
	}
	if _, known := c.fields.LoadOrStore(t, index); !known && index == nil && c.lacking.Add(1) <= maxHashWarnings {
		c.log.Warn("the argument has no such field for consistentHash: its calls go by p2c", "type", t.String(), "hash_on", c.o.HashOn)
	}
	return index, index != nil
}

// plainName is a name as all its spellings have it: user_id, userId and UserID are one.
func plainName(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }
