package main

import (
	"context"
	"net"
	"sync"
	"sync/atomic"

	"github.com/easymicro/easymicro/samples/benchmark/contestant"
	"github.com/easymicro/easymicro/samples/benchmark/message"
)

// muxClient is a connection for many callers, each with a slot of its own whose number is the id of its frames.
type muxClient struct {
	net.Conn
	payload payload
	out     *outbox

	mu    sync.Mutex // for writing
	slots atomic.Pointer[[]*slot]
}

// slot is where a caller waits for its reply.
type slot struct {
	reply *message.BenchmarkMessage
	done  chan error
}

// payload is what a client sends and receives.
type payload struct {
	encode func(dst []byte, id uint32, args *message.BenchmarkMessage) ([]byte, error)
	decode func(payload []byte, s *slot) error
}

var protobuf = payload{
	encode: appendFrame,
	decode: func(payload []byte, s *slot) error {
		s.reply = new(message.BenchmarkMessage)
		if err := s.reply.UnmarshalVT(payload); err != nil {
			return err
		}
		return message.Check(s.reply)
	},
}

var plainBytes = payload{
	encode: func(dst []byte, id uint32, _ *message.BenchmarkMessage) ([]byte, error) {
		at := len(dst)
		dst = append(dst, make([]byte, headerBytes+message.RequestBytes)...)
		putHeader(dst[at:], id)
		return dst, nil
	},
	decode: func(payload []byte, _ *slot) error {
		if len(payload) != message.ReplyBytes {
			return errFrame
		}
		return nil
	},
}

func dialMux(p payload) dialFunc {
	return func(ctx context.Context, address string) (contestant.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		c := &muxClient{Conn: conn, payload: p, out: newOutbox(conn)}
		c.slots.Store(new([]*slot))
		go c.read()
		return c, nil
	}
}

// Caller returns a function that sends a request and waits for the reply.
func (c *muxClient) Caller() func() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &slot{done: make(chan error, 1)}
	slots := append(*c.slots.Load(), s)
	c.slots.Store(&slots)
	id, args := uint32(len(slots)-1), message.Request()
	encode := func(dst []byte) ([]byte, error) { return c.payload.encode(dst, id, args) }
	return func() error {
		if err := c.out.add(encode); err != nil {
			return err
		}
		return <-s.done
	}
}

// read hands replies to their callers until the connection ends, and that to all of them.
func (c *muxClient) read() {
	err := readFrames(c.Conn, bigBuffer, func(id uint32, payload []byte) error {
		slots := *c.slots.Load()
		if int(id) >= len(slots) {
			return errFrame
		}
		s := slots[id]
		s.done <- c.payload.decode(payload, s)
		return nil
	}, func() error { return nil })
	for _, s := range *c.slots.Load() {
		select {
		case s.done <- err:
		default:
		}
	}
}

// Close closes the connection.
func (c *muxClient) Close() error {
	c.out.close()
	return c.Conn.Close()
}
