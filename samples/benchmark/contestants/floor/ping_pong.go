package main

import (
	"context"
	"io"
	"net"

	"github.com/easymicro/easymicro/samples/benchmark/contestant"
	"github.com/easymicro/easymicro/samples/benchmark/message"
)

// smallBuffer has room for a few messages.
const smallBuffer = 4 << 10

// servePingPong serves each connection in a goroutine that reads, answers and writes.
func servePingPong(ctx context.Context, s contestant.Site) error {
	return listen(ctx, s, func(c net.Conn) {
		var out []byte
		args := new(message.BenchmarkMessage)
		_ = readFrames(c, smallBuffer, func(id uint32, payload []byte) (err error) {
			out, err = answer(out[:0], id, payload, args, s.Work)
			if err == nil {
				_, err = c.Write(out)
			}
			return err
		}, func() error { return nil })
	})
}

// listen runs serve for each connection in a goroutine of its own, which ends with the connection or the process.
func listen(ctx context.Context, s contestant.Site, serve func(net.Conn)) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	s.Ready(ln.Addr().String())
	for {
		c, err := ln.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			serve(c)
		}()
	}
}

// pingPong is a connection for one caller.
type pingPong struct {
	net.Conn
	in, out []byte
}

func dialPingPong(ctx context.Context, address string) (contestant.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &pingPong{Conn: c, in: make([]byte, smallBuffer)}, nil
}

// Caller returns a function that writes a request and reads the reply.
func (p *pingPong) Caller() func() error {
	args := message.Request()
	return func() (err error) {
		if p.out, err = appendFrame(p.out[:0], 0, args); err != nil {
			return err
		}
		if _, err := p.Write(p.out); err != nil {
			return err
		}
		reply, err := p.read()
		if err != nil {
			return err
		}
		return message.Check(reply)
	}
}

func (p *pingPong) read() (*message.BenchmarkMessage, error) {
	for used := 0; ; {
		if used == len(p.in) {
			return nil, io.ErrShortBuffer
		}
		n, err := p.Read(p.in[used:])
		if err != nil {
			return nil, err
		}
		used += n
		_, payload, _, ok, err := cutFrame(p.in[:used])
		if err != nil {
			return nil, err
		}
		if ok {
			reply := new(message.BenchmarkMessage)
			err := reply.UnmarshalVT(payload)
			return reply, err
		}
	}
}
