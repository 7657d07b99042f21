package client

import (
	"bytes"
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
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

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// sayOtherwise tells that a value is something else in JSON than its kind is.
func sayOtherwise(v reflect.Value) bool {
	t := v.Type()
	if t.PkgPath() == "" { // it has no methods
		return false
	}
	says := func(t reflect.Type) bool { return t.Implements(jsonMarshaler) || t.Implements(textMarshaler) }
	return says(t) || v.CanAddr() && says(reflect.PointerTo(t))
}

// jsonKey is what makes one key of JSON, however it is written: a text without its quotes, a number as encoding/json
// writes it, and of arrays and objects, whose numbers stay as they are, the names in order. That of null is empty.
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

// plainNumber is a number as encoding/json writes it: an integer in digits, others as short as may be.
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

// jsonMember is the key that a member at the top of a JSON object is.
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
