package fromrpcx_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/discovery"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/samples/fromrpcx"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

func mul(ctx context.Context, hosts client.Resolver) (*fromrpcx.Reply, error) {
	rules, err := policies.ClientGuard([]config.Rule{{
		Name:           "arith-calls",
		Match:          config.Match{Upstream: config.Patterns{"Arith"}},
		Retry:          &config.Retry{MaxAttempts: 4, FailMode: "failover"},
		CircuitBreaker: &config.CircuitBreaker{ConsecutiveFailures: 5, OpenTimeout: config.Duration(10 * time.Second)},
	}})
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Options{Resolver: hosts, Guard: rules, Policy: client.Random, Idempotent: []string{"Mul"}})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return client.Call[fromrpcx.Reply](ctx, c, "Arith", "Mul", &fromrpcx.Args{A: 73, B: 1500}, client.Token("t"))
}

func TestThePagesClientCallsAServerThatHasMoved(t *testing.T) {
	hosts, err := discovery.Static(start(t).Address)
	if err != nil {
		t.Fatal(err)
	}
	if reply, err := mul(t.Context(), hosts); err != nil || reply.C != 109500 {
		t.Errorf("%v, %v", reply, err)
	}
}

// A recording plays the server that has not moved.
func TestThePagesClientCallsAServerThatHasNotMoved(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	hosts, err := discovery.Static(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	var reply *fromrpcx.Reply
	go func() {
		var err error
		reply, err = mul(t.Context(), hosts)
		done <- err
	}()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p := wiretest.NewPeer(t, c)
	p.Greet()
	if f := p.Receive(); f.Service != "Arith" || f.Method != "Mul" || f.Metadata.Get(wire.MetaAuth) != "t" {
		t.Errorf("got %+v", f)
	}
	if _, err := p.Write(wiretest.Recording(t, "../../wire/testdata/golden", "msgpack-mul").Frames[1].Bytes); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || reply.C != 109500 {
		t.Errorf("%v, %v", reply, err)
	}
}

func TestErrorsKeepTheirTextAtClientsThatHaveMoved(t *testing.T) {
	hosts, err := discovery.Static(start(t).Address)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Options{Resolver: hosts})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Call(t.Context(), "Arith", "Div", &fromrpcx.Args{A: 1}, new(fromrpcx.Reply))
	if err == nil || err.Error() != "divide by zero" || code.From(err).Code != code.Unknown {
		t.Errorf("%v", err)
	}
	var m wire.Metadata
	done := make(chan *client.Pending, 1)
	c.Go(t.Context(), "Arith", "Meta", &fromrpcx.Args{}, new(fromrpcx.Reply), done, client.Metadata("testmd", "md"), client.ReplyMetadata(&m))
	if p := <-done; p.Err != nil || p.Reply.(*fromrpcx.Reply).C != 1 || m.Get("server") != "hi this is server md" {
		t.Errorf("%+v with %v", p, m)
	}
	if err := c.Notify(t.Context(), "Arith", "Mul", &fromrpcx.Args{A: 2, B: 3}); err != nil {
		t.Error(err)
	}
}

// The README shows the code that runs above, and a valid manifest.
func TestTheReadmeIsCorrect(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("client_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```")
	seen := map[string]int{}
	for _, block := range blocks {
		language, text, _ := strings.Cut(block, "\n")
		switch language {
		case "go":
			if !strings.Contains(string(source), text) {
				t.Errorf("the page has code that client_test.go does not have:\n%s", text)
			}
		case "yaml":
			path := filepath.Join(t.TempDir(), "easymicro.yaml")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			set, err := load.Load(path, load.Options{})
			if err != nil {
				t.Errorf("%v", err)
				continue
			}
			for _, p := range host.Check(set, registry.Default()) {
				if !p.Warning { // it has no services, and the upstream is unused
					t.Errorf("%s", p)
				}
			}
		default:
			continue
		}
		seen[language]++
	}
	if seen["go"] == 0 || seen["yaml"] == 0 {
		t.Errorf("the page has %v", seen)
	}
}
