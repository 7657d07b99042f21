// Command grpc is the contestant grpc-go.
package main

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/easymicro/easymicro/samples/benchmark/contestant"
	"github.com/easymicro/easymicro/samples/benchmark/contract"
	"github.com/easymicro/easymicro/samples/benchmark/message"
)

func main() {
	contestant.Main(contestant.Contestant{
		Description: contract.Description{
			Name: "grpc-go", Version: contestant.ModuleVersion("google.golang.org/grpc"), Loads: []string{contract.Own, contract.Shared},
			Note: "defaults, with vtprotobuf's encoding",
		},
		Serve: serve,
		Dial:  dial,
	})
}

func serve(ctx context.Context, s contestant.Site) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.ForceServerCodecV2(codec{}))
	server.RegisterService(&description, service{s})
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	s.Ready(ln.Addr().String())
	return server.Serve(ln)
}

const (
	serviceName = "Bench"
	method      = "/Bench/Say"
)

type service struct{ contestant.Site }

// Say answers a message.
//
//nolint:unparam // the shape of a method of gRPC
func (s service) Say(_ context.Context, m *message.BenchmarkMessage) (*message.BenchmarkMessage, error) {
	s.Work()
	message.AnswerInPlace(m)
	return m, nil
}

// description is what gRPC's generator would make for the service, which has no interceptors here.
var description = grpc.ServiceDesc{
	ServiceName: serviceName,
	HandlerType: (*interface {
		Say(context.Context, *message.BenchmarkMessage) (*message.BenchmarkMessage, error)
	})(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Say", Handler: say}},
}

//nolint:revive // the order of the parameters is grpc's
func say(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	m := new(message.BenchmarkMessage)
	if err := decode(m); err != nil {
		return nil, err
	}
	return srv.(service).Say(ctx, m) //nolint:forcetypeassert // grpc has checked it
}

type conn struct{ *grpc.ClientConn }

func dial(_ context.Context, address string) (contestant.Conn, error) {
	c, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{})))
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
		if err := c.Invoke(context.Background(), method, args, reply); err != nil {
			return err
		}
		return message.Check(reply)
	}
}
