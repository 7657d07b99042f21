// Command drpc is the contestant storj.io/drpc.
package main

import (
	"context"
	"fmt"
	"net"

	"storj.io/drpc"
	"storj.io/drpc/drpcconn"
	"storj.io/drpc/drpcmux"
	"storj.io/drpc/drpcserver"

	"github.com/easymicro/easymicro/samples/benchmark/contestant"
	"github.com/easymicro/easymicro/samples/benchmark/contract"
	"github.com/easymicro/easymicro/samples/benchmark/message"
)

const method = "/Bench/Say"

func main() {
	contestant.Main(contestant.Contestant{
		Description: contract.Description{
			Name: "drpc", Version: contestant.ModuleVersion("storj.io/drpc"), Loads: []string{contract.Own}, Note: "one call at a time on a connection",
		},
		Serve: serve,
		Dial:  dial,
	})
}

func serve(ctx context.Context, s contestant.Site) error {
	mux := drpcmux.New()
	if err := mux.Register(service{s}, description{}); err != nil {
		return err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.Ready(ln.Addr().String())
	return drpcserver.New(mux).Serve(ctx, ln)
}

type service struct{ contestant.Site }

// Say answers a message.
func (s service) Say(_ context.Context, m *message.BenchmarkMessage) (*message.BenchmarkMessage, error) {
	s.Work()
	message.AnswerInPlace(m)
	return m, nil
}

// description is what drpc's generator would make for the service.
type description struct{}

// NumMethods returns 1.
func (description) NumMethods() int { return 1 }

// Method returns the method.
func (description) Method(int) (rpc string, _ drpc.Encoding, _ drpc.Receiver, method0 any, ok bool) {
	receive := func(srv any, ctx context.Context, in, _ any) (drpc.Message, error) {
		s, isService := srv.(service)
		m, isMessage := in.(*message.BenchmarkMessage)
		if !isService || !isMessage {
			return nil, fmt.Errorf("a call of %T with %T", srv, in)
		}
		return s.Say(ctx, m)
	}
	return method, encoding{}, receive, service.Say, true
}

// encoding uses the methods that vtprotobuf has generated, as all contestants do.
type encoding struct{}

// Marshal encodes a message.
func (encoding) Marshal(m drpc.Message) ([]byte, error) {
	own, ok := m.(*message.BenchmarkMessage)
	if !ok {
		return nil, fmt.Errorf("a message of type %T", m)
	}
	return own.MarshalVT()
}

// Unmarshal decodes a message.
func (encoding) Unmarshal(data []byte, m drpc.Message) error {
	own, ok := m.(*message.BenchmarkMessage)
	if !ok {
		return fmt.Errorf("a message of type %T", m)
	}
	return own.UnmarshalVT(data)
}

type conn struct{ *drpcconn.Conn }

func dial(ctx context.Context, address string) (contestant.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return conn{drpcconn.New(c)}, nil
}

// Caller returns a function that calls Say.
func (c conn) Caller() func() error {
	args := message.Request()
	return func() error {
		reply := new(message.BenchmarkMessage)
		if err := c.Invoke(context.Background(), method, encoding{}, args, reply); err != nil {
			return err
		}
		return message.Check(reply)
	}
}
