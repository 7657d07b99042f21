package main

import (
	"fmt"

	"google.golang.org/grpc/mem"

	"github.com/easymicro/easymicro/samples/benchmark/message"
)

// codec does what grpc-go's own does, pooled buffers included, with the methods that vtprotobuf has generated.
type codec struct{}

// Name is that of grpc-go's own codec.
func (codec) Name() string { return "proto" }

// Marshal encodes a message.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(*message.BenchmarkMessage)
	if !ok {
		return nil, fmt.Errorf("a message of type %T", v)
	}
	size := m.SizeVT()
	if mem.IsBelowBufferPoolingThreshold(size) {
		data, err := m.MarshalVT()
		return mem.BufferSlice{mem.SliceBuffer(data)}, err
	}
	pool := mem.DefaultBufferPool()
	buf := pool.Get(size)
	if _, err := m.MarshalToSizedBufferVT((*buf)[:size]); err != nil {
		pool.Put(buf)
		return nil, err
	}
	return mem.BufferSlice{mem.NewBuffer(buf, pool)}, nil
}

// Unmarshal decodes a message.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*message.BenchmarkMessage)
	if !ok {
		return fmt.Errorf("a message of type %T", v)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	return m.UnmarshalVT(buf.ReadOnlyData())
}
