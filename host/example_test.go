package host_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	configload "github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/registry"
)

// A greeter is a handler: its exported methods of this form are served.
type greeter struct{}

type greeting struct {
	Name string `json:"name"`
	Text string `json:"text,omitempty"`
}

func (greeter) Greet(_ context.Context, args, reply *greeting) error {
	*reply = greeting{Name: args.Name, Text: "hello " + args.Name}
	return nil
}

// openGreeter opens a host of one service from a manifest on disk.
func openGreeter(o host.Options) (*host.Host, error) {
	dir, err := os.MkdirTemp("", "host")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "easymicro.yaml")
	manifest := "listeners: [{name: main, address: '127.0.0.1:0'}]\nadmin: {address: ''}\nservices: [{name: Greeter, handler: greeter}]\n"
	if err := os.WriteFile(path, []byte(manifest), 0o600); err != nil {
		return nil, err
	}
	set, _, err := host.LoadFiles(path, configload.Options{}) // its second result is the Source that follows the files
	if err != nil {
		return nil, err
	}
	o.Registry = registry.New()
	registry.Plain(greeter{}, registry.In(o.Registry), registry.As("greeter"))
	return host.Open(context.Background(), set, o)
}

func ExampleOpen() {
	h, err := openGreeter(host.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close() // as it does not run
	for _, s := range h.Services() {
		fmt.Println(s.Name, s.Methods[0].Name)
	}
	// Output: Greeter Greet
}

func ExampleHost_Run() {
	ctx, stop := context.WithCancel(context.Background()) // signal.NotifyContext in a program
	defer stop()
	h, err := openGreeter(host.Options{OnReady: func(h *host.Host) {
		defer stop()
		res, err := http.Post("http://"+h.Addr("main").String()+"/Greeter/Greet", "application/json", strings.NewReader(`{"name":"Ada"}`))
		if err != nil {
			fmt.Println(err)
			return
		}
		defer res.Body.Close()
		fmt.Println(res.Status)
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(h.Run(ctx)) // blocks until ctx ends and the last call is answered
	// Output:
	// 200 OK
	// <nil>
}
