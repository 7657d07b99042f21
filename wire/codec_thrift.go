package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/apache/thrift/lib/go/thrift"
)

var (
	errNotThrift  = errors.New("the method does not take or return a thrift struct")
	errBadThrift  = errors.New("not a thrift struct in the binary protocol")
	errThriftRest = errors.New("trailing bytes after the struct")
)

// thriftBuffer is a memory buffer that fails when it gets too long for a frame.
type thriftBuffer struct {
	frameSpace
	thrift.TMemoryBuffer
}

// Write appends p.
func (b *thriftBuffer) Write(p []byte) (int, error) {
	if err := b.take(len(p)); err != nil {
		return 0, err
	}
	return b.TMemoryBuffer.Write(p)
}

// WriteByte appends c.
func (b *thriftBuffer) WriteByte(c byte) error {
	if err := b.take(1); err != nil {
		return err
	}
	return b.TMemoryBuffer.WriteByte(c)
}

// WriteString appends s.
func (b *thriftBuffer) WriteString(s string) (int, error) {
	if err := b.take(len(s)); err != nil {
		return 0, err
	}
	return b.TMemoryBuffer.WriteString(s)
}

// thriftProtocol is a binary protocol over a buffer, with its limits.
type thriftProtocol struct {
	conf  thrift.TConfiguration
	trans thriftBuffer
	proto *thrift.TBinaryProtocol
	buf   bytes.Buffer
}

var thriftProtocols = sync.Pool{New: func() any {
	p := new(thriftProtocol)
	p.trans.Buffer = &p.buf
	p.proto = thrift.NewTBinaryProtocolConf(&p.trans, &p.conf)
	return p
}}

func (p *thriftProtocol) release() {
	p.buf = bytes.Buffer{}
	thriftProtocols.Put(p)
}

func appendThrift(dst []byte, v any) ([]byte, error) {
	s, ok := v.(thrift.TStruct)
	if !ok {
		return dst, errNotThrift
	}
	if err := codedEncodable.check(v); err != nil {
		return dst, err
	}
	p := thriftProtocols.Get().(*thriftProtocol)
	defer p.release()
	p.buf = *bytes.NewBuffer(dst)
	p.trans.frameSpace = maxPayload
	err := s.Write(context.Background(), p.proto)
	return p.buf.Bytes(), err
}

// decodeThrift decodes data that has been walked, since generated code has no depth limit. Sizes are limited to the length
// of data.
func decodeThrift(data []byte, v any) error {
	s, ok := v.(thrift.TStruct)
	if !ok {
		return errNotThrift
	}
	p := thriftProtocols.Get().(*thriftProtocol)
	defer p.release()
	p.conf.MaxMessageSize, p.conf.MaxFrameSize = int32(len(data)), int32(len(data))
	p.buf = *bytes.NewBuffer(data)
	if err := s.Read(context.Background(), p.proto); err != nil {
		return errMismatch
	}
	return nil
}

// thriftDialect is for generated code, which allocates lists and maps at their announced lengths. Fields without tags are
// assumed to be numbered in order.
var (
	thriftDialect = &dialect{minBytes: 1, fields: thriftFields}
	thriftPlans   = &typeCache[*plan]{build: func(t reflect.Type) *plan {
		p, _ := thriftDialect.plan(t)
		p.walkAlways = true // generated code has no depth limit
		return p
	}}
)

func thriftFields(s *shaper, r *shape, t reflect.Type) {
	number := 0
	for f := range t.Fields() {
		if !f.IsExported() {
			continue
		}
		number++
		if parts := strings.Split(f.Tag.Get("thrift"), ","); len(parts) > 1 {
			if n, err := strconv.Atoi(parts[1]); err == nil {
				number = n
			}
		}
		r.ids.set(int32(number), s.of(f.Type))
	}
}

// thriftWalk checks a payload and adds up what decoding it allocates. Its methods read the element they are named after, and
// report whether it is valid and the total within the limit.
type thriftWalk struct {
	tally
	rest []byte
	deep bool
}

// whole walks a payload and returns an error if it is invalid.
func (w *thriftWalk) whole(root *shape) error {
	switch sound := len(w.rest) <= math.MaxInt32 && w.structure(root, 0); {
	case w.deep:
		return errTooDeep
	case !sound:
		return errBadThrift
	case len(w.rest) != 0:
		return errThriftRest
	}
	return nil
}

func (w *thriftWalk) structure(s *shape, depth int) bool {
	if depth == maxDepth {
		w.deep = true
		return false
	}
	for {
		if len(w.rest) == 0 {
			return false
		}
		t := thrift.TType(w.rest[0])
		w.rest = w.rest[1:]
		if t == thrift.STOP {
			return true
		}
		if len(w.rest) < 2 {
			return false
		}
		var field *shape
		if s != nil && s.kind == asRecord {
			field = s.ids.at(int32(int16(binary.BigEndian.Uint16(w.rest))))
		}
		w.rest = w.rest[2:]
		if !w.value(t, field, depth+1) {
			return false
		}
	}
}

func (w *thriftWalk) value(t thrift.TType, s *shape, depth int) bool {
	s = s.deref(&w.tally)
	if n := thriftSize(t); n > 0 {
		return w.bytes(n) && !w.over()
	}
	switch t {
	case thrift.STRING:
		n, ok := w.length()
		return ok && w.bytes(n) && w.add(thriftTextCost(n))
	case thrift.STRUCT:
		return w.structure(s, depth)
	case thrift.MAP:
		k, v, ok := w.types()
		return ok && w.entries(k, v, s, depth)
	case thrift.LIST, thrift.SET:
		if len(w.rest) == 0 {
			return false
		}
		e := thrift.TType(w.rest[0])
		w.rest = w.rest[1:]
		return w.elements(e, s, depth)
	}
	return false
}

// thriftTextCost returns the cost of a text, even one that is skipped: a growing buffer and a copy.
func thriftTextCost(n int) int {
	if n < 64 {
		return rounded(n)
	}
	return 3 * rounded(n)
}

// elements walks a count and that many values.
func (w *thriftWalk) elements(t thrift.TType, s *shape, depth int) bool {
	n, ok := w.count(depth)
	if !ok {
		return false
	}
	var elem *shape
	if s != nil && (s.kind == asList || s.kind == asArray) {
		elem = s.elem
		w.total += thriftDialect.listCost(n, elem.size)
	}
	for range n {
		if w.over() || !w.value(t, elem, depth+1) {
			return false
		}
	}
	return !w.over()
}

// entries walks a count and that many keys and values.
func (w *thriftWalk) entries(k, v thrift.TType, s *shape, depth int) bool {
	n, ok := w.count(depth)
	if !ok {
		return false
	}
	var key, elem *shape
	if s != nil && s.kind == asDict {
		key, elem = s.key, s.elem
		w.total += mapBytes + thriftDialect.dictCost(n, key.size, elem.size)
	}
	for range n {
		if w.over() || !w.value(k, key, depth+1) || !w.value(v, elem, depth+1) {
			return false
		}
	}
	return !w.over()
}

// count reads how many values follow; each takes at least a byte.
func (w *thriftWalk) count(depth int) (int, bool) {
	if depth == maxDepth {
		w.deep = true
		return 0, false
	}
	n, ok := w.length()
	return n, ok && n <= len(w.rest)
}

func (w *thriftWalk) types() (k, v thrift.TType, ok bool) {
	if len(w.rest) < 2 {
		return 0, 0, false
	}
	k, v = thrift.TType(w.rest[0]), thrift.TType(w.rest[1])
	w.rest = w.rest[2:]
	return k, v, true
}

func (w *thriftWalk) length() (int, bool) {
	if len(w.rest) < 4 {
		return 0, false
	}
	n := int32(binary.BigEndian.Uint32(w.rest))
	w.rest = w.rest[4:]
	return int(n), n >= 0
}

func (w *thriftWalk) bytes(n int) bool {
	if n > len(w.rest) {
		return false
	}
	w.rest = w.rest[n:]
	return true
}

// thriftSize returns the size of values of a fixed-size type; 0 for others.
func thriftSize(t thrift.TType) int {
	switch t {
	case thrift.BOOL, thrift.BYTE:
		return 1
	case thrift.I16:
		return 2
	case thrift.I32:
		return 4
	case thrift.I64, thrift.DOUBLE:
		return 8
	case thrift.UUID:
		return 16
	}
	return 0
}
