package registry_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/code"
)

// Options can be set in the manifest.
type Options struct {
	Max int `yaml:"max"`
}

// Orders is a service with methods of the net/rpc shape.
type Orders struct {
	max     atomic.Int64
	billing registry.Client
}

type Args struct {
	ID int `json:"id"`
}

type Reply struct {
	Text string `json:"text"`
}

// Get has the shape of a method that is served.
func (s *Orders) Get(ctx context.Context, a *Args, r *Reply) error {
	if a.ID > int(s.max.Load()) {
		return code.Errorf(code.NotFound, "order %d", a.ID).WithReason("no_such_order")
	}
	r.Text = fmt.Sprintf("order %d for %s", a.ID, registry.Caller(ctx))
	registry.ReplyMetadata(ctx).Set("etag", registry.Metadata(ctx).Get("v"))
	return nil
}

// Reconfigure applies options that were edited while the service runs. It does not have the shape of a served method.
func (s *Orders) Reconfigure(_ context.Context, o Options) error {
	s.max.Store(int64(o.Max))
	return nil
}

func open(_ context.Context, o Options, env registry.Env) (*registry.Service, error) {
	s := &Orders{billing: env.Client("billing")}
	s.max.Store(int64(o.Max))
	return registry.Receiver(s).OnOptions(s.Reconfigure), nil
}

// A service author writes the handler and registers it; the host does the rest.
func Example() {
	handlers := registry.New() // in a real package: func init() { registry.Register("orders", …) }
	registry.Register("orders", Options{Max: 100}, open,
		registry.Uses("billing"), registry.Methods[Orders](), registry.In(handlers))

	entry, _ := handlers.Lookup("orders")
	fmt.Println(entry.Name, "takes", entry.Options, "and skips", entry.Skipped[0])

	ctx := context.Background()
	service, err := entry.Open(ctx, nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer service.Close(ctx)

	call := &registry.Call{Caller: "partner", Metadata: registry.Pairs{{"v", "7"}}}
	get := service.Methods()[0]
	reply, err := get.Call(registry.WithCall(ctx, call), &Args{ID: 42}, nil)
	fmt.Println(reply.(*Reply).Text, err, call.Reply)

	_, err = service.Reconfigure(ctx, func(into any) error { into.(*Options).Max = 10; return nil })
	fmt.Println(err)
	_, err = get.Call(ctx, &Args{ID: 42}, nil)
	fmt.Println(code.Of(err), err)
	// Output:
	// orders takes registry_test.Options and skips Reconfigure: takes 2 parameters, want context.Context, *Args, *Reply
	// order 42 for partner <nil> [[etag 7]]
	// <nil>
	// NOT_FOUND order 42
}

// Typed functions are the other shape: no receiver, and the result is returned.
func ExampleUnary() {
	type Greeting struct{ Text string }
	hello := func(_ context.Context, a *Args) (*Greeting, error) { return &Greeting{fmt.Sprint("hello ", a.ID)}, nil }
	bye := func(_ context.Context, a *Args) (*Greeting, error) { return &Greeting{fmt.Sprint("bye ", a.ID)}, nil }

	service := registry.Unary("Hello", hello).And(registry.Unary("Bye", bye))
	for _, m := range service.Methods() {
		reply, err := m.Call(context.Background(), &Args{ID: 1}, nil)
		fmt.Println(m.Name, reply.(*Greeting).Text, err)
	}
	// Output:
	// Hello hello 1 <nil>
	// Bye bye 1 <nil>
}

// GreeterOptions can be set in the manifest, as greeting and every.
type GreeterOptions struct {
	Greeting string        `doc:"First word of a greeting." enum:"hello,good morning"`
	Every    time.Duration `doc:"Pause between two greetings." min:"0s" max:"1h"`
}

// A check warns of what tags of options cannot say. In the manifest its findings appear among the others, with the code
// greeter/often, where they can be ignored: # easymicro: ignore greeter/often until 2027-01-01 because of a demonstration
func ExampleCheck() {
	openGreeter := func(context.Context, GreeterOptions, registry.Env) (*registry.Service, error) {
		return registry.Unary("Greet", func(context.Context, *Args) (*Reply, error) { return new(Reply), nil }), nil
	}
	often := func(s registry.Configured, o GreeterOptions) []registry.Finding {
		if o.Every >= time.Second || len(s.Aliases) == 0 {
			return nil
		}
		return []registry.Finding{{
			Path: "options.every", Message: fmt.Sprintf("%s is too often for %s, which has other names: set it to 1s or more", o.Every, s.Service),
		}}
	}
	handlers := registry.New()
	registry.Register("greeter", GreeterOptions{Greeting: "hello", Every: time.Second}, openGreeter, registry.In(handlers),
		registry.Check("often", often))

	entry, _ := handlers.Lookup("greeter") // what a host does
	options := &GreeterOptions{Every: time.Millisecond}
	entry.Check(registry.Configured{Service: "Greeter", Aliases: []string{"Hello"}}, options, func(check string, f registry.Finding) {
		fmt.Printf("%s: %s [%s/%s]\n", f.Path, f.Message, entry.Name, check)
	})
	// Output:
	// options.every: 1ms is too often for Greeter, which has other names: set it to 1s or more [greeter/often]
}

// Options have defaults, which the manifest overrides. A real package calls Register in an init function, and a host opens
// the handler.
func ExampleRegister() {
	openGreeter := func(_ context.Context, o GreeterOptions, env registry.Env) (*registry.Service, error) {
		type none struct{}
		greet := func(ctx context.Context, _ *none) (*string, error) {
			text := fmt.Sprintf("%s, %s", o.Greeting, registry.Caller(ctx))
			return &text, nil
		}
		env.Log().Info("greeter open", "every", o.Every)
		return registry.Unary("Greet", greet).OnClose(func() error { fmt.Println("closed"); return nil }), nil
	}
	handlers := registry.New()
	registry.Register("greeter", GreeterOptions{Greeting: "hello", Every: time.Second}, openGreeter, registry.In(handlers))

	ctx := context.Background()
	entry, _ := handlers.Lookup("greeter")
	service, err := entry.Open(ctx, func(into any) error { // the host decodes the manifest
		into.(*GreeterOptions).Greeting = "good morning"
		return nil
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	greet := service.Methods()[0]
	reply, err := greet.Call(registry.WithCall(ctx, &registry.Call{Caller: "Ann"}), greet.NewArgs(), nil)
	fmt.Println(*reply.(*string), err)
	fmt.Println(service.Close(ctx))
	// Output:
	// good morning, Ann <nil>
	// closed
	// <nil>
}
