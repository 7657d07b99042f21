package wire

import (
	"encoding/binary"

	"github.com/apache/thrift/lib/go/thrift"
)

// skipThrift gives what follows the struct at the beginning of data. It checks every length and the depth.
func skipThrift(data []byte) ([]byte, error) {
	w := thriftWalk{rest: data}
	if !w.structure(0) {
		if w.deep {
			return nil, errTooDeep
		}
		return nil, errBadThrift
	}
	return w.rest, nil
}

// thriftWalk is a place in a payload. Its methods report whether they found what they are named for.
type thriftWalk struct {
	rest []byte
	deep bool
}

func (w *thriftWalk) structure(depth int) bool {
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
		if !w.bytes(2) || !w.value(t, depth+1) {
			return false
		}
	}
}

func (w *thriftWalk) value(t thrift.TType, depth int) bool {
	if n := thriftSize(t); n > 0 {
		return w.bytes(n)
	}
	switch t {
	case thrift.STRING:
		n, ok := w.length()
		return ok && w.bytes(n)
	case thrift.STRUCT:
		return w.structure(depth)
	case thrift.MAP:
		k, v, ok := w.types()
		return ok && w.values(depth, k, v)
	case thrift.LIST, thrift.SET:
		if len(w.rest) == 0 {
			return false
		}
		e := thrift.TType(w.rest[0])
		w.rest = w.rest[1:]
		return w.values(depth, e)
	}
	return false
}

// values walks a count and that many groups of values.
func (w *thriftWalk) values(depth int, types ...thrift.TType) bool {
	if depth == maxDepth {
		w.deep = true
		return false
	}
	n, ok := w.length()
	if !ok {
		return false
	}
	for range n {
		for _, t := range types {
			if !w.value(t, depth+1) {
				return false
			}
		}
	}
	return true
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

// thriftSize is the length of values whose type fixes it, 0 for the others.
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
