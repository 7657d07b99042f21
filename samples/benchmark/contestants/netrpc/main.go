// Command netrpc has the contestants of net/rpc, with its own codec and with a bare one for protobuf.
package main

import (
	"context"
	"io"
	"net"
	"net/rpc"
	"runtime"

	"github.com/easymicro/easymicro/samples/benchmark/contestant"
	"github.com/easymicro/easymicro/samples/benchmark/contract"
	"github.com/easymicro/easymicro/samples/benchmark/message"
)

func main() {
	contestant.Main(
		entry("net/rpc+gob", "its own codec", (*rpc.Server).ServeConn, func(c net.Conn) *rpc.Client { return rpc.NewClient(c) }),
		entry("net/rpc+pb", "a bare protobuf codec with 4 KiB buffers",
			func(s *rpc.Server, c io.ReadWriteCloser) { s.ServeCodec(newServerCodec(c)) },
			func(c net.Conn) *rpc.Client { return rpc.NewClientWithCodec(newClientCodec(c)) }),
	)
}

func entry(name, note string, serveConn func(*rpc.Server, io.ReadWriteCloser), newClient func(net.Conn) *rpc.Client) contestant.Contestant {
	return contestant.Contestant{
		Description: contract.Description{Name: name, Version: runtime.Version(), Note: note, Loads: []string{contract.Own, contract.Shared}},
		Serve:       func(ctx context.Context, s contestant.Site) error { return serve(ctx, s, serveConn) },
		Dial: func(ctx context.Context, address string) (contestant.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				return nil, err
			}
			return conn{newClient(c)}, nil
		},
	}
}

func serve(ctx context.Context, s contestant.Site, serveConn func(*rpc.Server, io.ReadWriteCloser)) error {
	server := rpc.NewServer()
	if err := server.RegisterName("Bench", &service{s}); err != nil {
		return err
	}
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
		go serveConn(server, c) // ends with its connection, which ends with the process
	}
}

type service struct{ site contestant.Site }

// Say answers a message.
//
//nolint:unparam // the shape of a method of net/rpc
func (s *service) Say(args, reply *message.BenchmarkMessage) error {
	s.site.Work()
	message.Answer(args, reply)
	return nil
}

type conn struct{ *rpc.Client }

// Caller returns a function that calls Say.
func (c conn) Caller() func() error {
	args := message.Request()
	return func() error {
		reply := new(message.BenchmarkMessage)
		if err := c.Call("Bench.Say", args, reply); err != nil {
			return err
		}
		return message.Check(reply)
	}
}
