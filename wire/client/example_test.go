package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/discovery"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
)

type (
	mulArgs  struct{ A, B int }
	mulReply struct{ C int }
)

// fixed is a Resolver of one address. Package host/discovery has resolvers for lists, files, DNS and etcd.
type fixed string

func (f fixed) Watch(ctx context.Context, _ string, update func([]client.Endpoint, error)) error {
	update([]client.Endpoint{{Address: string(f)}}, nil)
	<-ctx.Done()
	return ctx.Err()
}

func Example() {
	address, stop := serveArith()
	defer stop()

	c, err := client.New(client.Options{Resolver: fixed(address), Codec: "json"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()

	// The reply by its type …
	reply, err := client.Call[mulReply](ctx, c, "Arith", "Mul", &mulArgs{6, 7})
	fmt.Println(reply.C, err)

	// … or into a value, with metadata both ways.
	var r mulReply
	var meta wire.Metadata
	err = c.Call(ctx, "Arith", "Mul", &mulArgs{2, 3}, &r, client.Metadata("user", "ann"), client.ReplyMetadata(&meta))
	fmt.Println(r.C, meta.Get("greeting"), err)

	// Without waiting: the answers come over a channel.
	done := make(chan *client.Pending, 2)
	c.Go(ctx, "Arith", "Mul", &mulArgs{1, 2}, new(mulReply), done)
	c.Go(ctx, "Arith", "Mul", &mulArgs{1, 2}, new(mulReply), done)
	for range 2 {
		p := <-done
		fmt.Println(p.Method, p.Reply, p.Err)
	}

	// Errors have a code and a reason.
	var e *code.Error
	if errors.As(c.Call(ctx, "Arith", "Div", &mulArgs{1, 0}, &r), &e) {
		fmt.Println(e.Code, e.Reason, e.Message)
	}
	// Output:
	// 42 <nil>
	// 6 hello ann <nil>
	// Mul &{2} <nil>
	// Mul &{2} <nil>
	// INVALID_ARGUMENT division_by_zero 1 cannot be divided by 0
}

// A client with a fixed list of endpoints.
func ExampleNew() {
	address, stop := serveArith()
	defer stop()

	endpoints, err := discovery.Static("tcp://" + address)
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := client.New(client.Options{Resolver: endpoints, Policy: client.RoundRobin})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	reply, err := client.Call[mulReply](context.Background(), c, "Arith", "Mul", &mulArgs{6, 7})
	fmt.Println(reply.C, err)
	// Output: 42 <nil>
}

// A client with rules.
func ExampleGuard() {
	address, stop := serveArith()
	defer stop()

	rules, err := policies.ClientGuard([]config.Rule{{
		Name:      "calls",
		Match:     config.Match{Upstream: config.Patterns{"Arith"}},
		Timeout:   new(config.Duration(time.Second)),
		RateLimit: &config.RateLimit{Rate: 1, Per: config.Duration(time.Hour)},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := client.New(client.Options{Resolver: fixed(address), Guard: rules})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	for range 2 {
		reply, err := client.Call[mulReply](context.Background(), c, "Arith", "Mul", &mulArgs{6, 7})
		if err != nil {
			fmt.Println(code.Of(err))
			continue
		}
		fmt.Println(reply.C)
	}
	// Output:
	// 42
	// RESOURCE_EXHAUSTED
}

// Two clients that share a watch.
func ExamplePool() {
	address, stop := serveArith()
	defer stop()

	pool := client.NewPool(slog.Default()) // logs when endpoints are lost
	for _, codec := range []string{"json", "msgpack"} {
		c, err := client.New(client.Options{Pool: pool, Resolver: fixed(address), Upstream: "arithmetic", Codec: codec})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer c.Close()
		reply, err := client.Call[mulReply](context.Background(), c, "Arith", "Mul", &mulArgs{6, 7})
		fmt.Println(reply.C, err)
	}
	fmt.Println(pool.Size("arithmetic"), "endpoint")
	// Output:
	// 42 <nil>
	// 42 <nil>
	// 1 endpoint
}

func serveArith() (address string, stop func()) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	srv := wire.NewServer(wire.ServerOptions{Handler: wire.HandlerFunc(arith)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, ln) }()
	return ln.Addr().String(), func() {
		cancel()
		<-done
	}
}

func arith(_ context.Context, req, res *wire.Frame) error {
	var a mulArgs
	if err := wire.Decode(req.Codec, req.Payload, &a); err != nil {
		return err
	}
	if req.Method == "Div" && a.B == 0 {
		return code.Errorf(code.InvalidArgument, "%d cannot be divided by 0", a.A).WithReason("division_by_zero")
	}
	if user := req.Metadata.Get("user"); user != "" {
		res.Metadata.Set("greeting", "hello "+user)
	}
	var err error
	res.Payload, err = wire.Append(req.Codec, res.Payload, &mulReply{a.A * a.B})
	return err
}
