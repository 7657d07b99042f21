// Package th holds the thrift structs of the serialize sample, as a thrift compiler would generate them from
//
//	struct Args  { 1: i32 A, 2: i32 B }
//	struct Reply { 1: i32 C }
package th

import (
	"context"
	"fmt"

	"github.com/apache/thrift/lib/go/thrift"
)

// Args are the factors of a multiplication.
type Args struct {
	A int32
	B int32
}

// Read implements thrift.TStruct.
func (a *Args) Read(ctx context.Context, p thrift.TProtocol) error {
	return readStruct(ctx, p, "Args", map[int16]*int32{1: &a.A, 2: &a.B})
}

// Write implements thrift.TStruct.
func (a *Args) Write(ctx context.Context, p thrift.TProtocol) error {
	return writeStruct(ctx, p, "Args", field{1, "A", a.A}, field{2, "B", a.B})
}

// Reply is the product.
type Reply struct {
	C int32
}

// Read implements thrift.TStruct.
func (r *Reply) Read(ctx context.Context, p thrift.TProtocol) error {
	return readStruct(ctx, p, "Reply", map[int16]*int32{1: &r.C})
}

// Write implements thrift.TStruct.
func (r *Reply) Write(ctx context.Context, p thrift.TProtocol) error {
	return writeStruct(ctx, p, "Reply", field{1, "C", r.C})
}

// readStruct reads a struct of i32 fields. Unknown fields, and those of another type, are skipped.
func readStruct(ctx context.Context, p thrift.TProtocol, name string, fields map[int16]*int32) error {
	if _, err := p.ReadStructBegin(ctx); err != nil {
		return thrift.PrependError(fmt.Sprintf("%s read error: ", name), err)
	}
	for {
		_, kind, id, err := p.ReadFieldBegin(ctx)
		if err != nil {
			return thrift.PrependError(fmt.Sprintf("%s field %d read error: ", name, id), err)
		}
		if kind == thrift.STOP {
			return p.ReadStructEnd(ctx)
		}
		if dst := fields[id]; dst != nil && kind == thrift.I32 {
			*dst, err = p.ReadI32(ctx)
		} else {
			err = p.Skip(ctx, kind)
		}
		if err != nil {
			return thrift.PrependError(fmt.Sprintf("%s field %d read error: ", name, id), err)
		}
		if err := p.ReadFieldEnd(ctx); err != nil {
			return err
		}
	}
}

type field struct {
	id    int16
	name  string
	value int32
}

func writeStruct(ctx context.Context, p thrift.TProtocol, name string, fields ...field) error {
	if err := p.WriteStructBegin(ctx, name); err != nil {
		return thrift.PrependError(fmt.Sprintf("%s write error: ", name), err)
	}
	for _, f := range fields {
		if err := writeField(ctx, p, f); err != nil {
			return thrift.PrependError(fmt.Sprintf("%s field %d write error: ", name, f.id), err)
		}
	}
	if err := p.WriteFieldStop(ctx); err != nil {
		return err
	}
	return p.WriteStructEnd(ctx)
}

func writeField(ctx context.Context, p thrift.TProtocol, f field) error {
	if err := p.WriteFieldBegin(ctx, f.name, thrift.I32, f.id); err != nil {
		return err
	}
	if err := p.WriteI32(ctx, f.value); err != nil {
		return err
	}
	return p.WriteFieldEnd(ctx)
}

var (
	_ thrift.TStruct = (*Args)(nil)
	_ thrift.TStruct = (*Reply)(nil)
)
