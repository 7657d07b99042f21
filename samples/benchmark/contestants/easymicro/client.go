package main

import (
	"context"
	"time"

	"github.com/easymicro/easymicro/host/discovery"
	"github.com/easymicro/easymicro/samples/benchmark/contestant"
	"github.com/easymicro/easymicro/samples/benchmark/message"
	"github.com/easymicro/easymicro/wire/client"
)

// connectTimeout leaves time for a thousand clients that connect at once.
const connectTimeout = 10 * time.Second

// conn is a client with one connection.
type conn struct{ *client.Client }

func dial(_ context.Context, address string) (contestant.Conn, error) {
	clientHeap()
	endpoints, err := discovery.Static(address)
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Options{Resolver: endpoints, Codec: "protobuf", ConnectTimeout: connectTimeout})
	if err != nil {
		return nil, err
	}
	return conn{c}, nil
}

// Caller returns a function that calls Say.
func (c conn) Caller() func() error {
	args := message.Request()
	return func() error {
		reply := new(message.BenchmarkMessage)
		if err := c.Call(context.Background(), serviceName, sayMethod, args, reply); err != nil {
			return err
		}
		return message.Check(reply)
	}
}
