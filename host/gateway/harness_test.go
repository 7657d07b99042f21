package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type args struct {
	A int `json:"a" msgpack:"A"`
	B int `json:"b" msgpack:"B"`
}

type reply struct {
	C int `json:"c" msgpack:"C"`
}

// backend is a handler for the recorded requests. It records the last call.
type backend struct {
	mu   sync.Mutex
	last wire.Frame
	call *wire.Call
	hook func(ctx context.Context, req, res *wire.Frame) error // of the method Hook

	aliases []string // of Arith
}

const host = "h1"

func (b *backend) resolve(service, method string) (Target, bool) {
	if !strings.EqualFold(service, "Arith") && !slices.Contains(b.aliases, service) {
		return Target{}, false
	}
	for _, m := range []string{"Mul", "Div", "Meta", "Hook"} {
		if strings.EqualFold(method, m) {
			return Target{Service: "Arith", Method: m, Args: reflect.TypeFor[args]()}, true
		}
	}
	return Target{}, false
}

func (b *backend) Handle(ctx context.Context, req, res *wire.Frame) error {
	b.mu.Lock()
	b.last = *req
	b.last.Payload = append([]byte(nil), req.Payload...)
	b.last.Metadata = append(wire.Metadata(nil), req.Metadata...)
	b.call = wire.CallFrom(ctx)
	b.mu.Unlock()

	t, ok := b.resolve(req.Service, req.Method)
	if !ok {
		return code.Refuse(code.Unimplemented, code.ReasonUnknownMethod, "no method "+req.Service+"."+req.Method, "", host, 0)
	}
	if req.Metadata.Get(wire.MetaAuth) == "bad" {
		return code.Refuse(code.Unauthenticated, code.ReasonUnauthenticated, "invalid token", "", host, 0)
	}
	if t.Method == "Hook" {
		return b.hook(ctx, req, res)
	}
	var a args
	if err := wire.Decode(req.Codec, req.Payload, &a); err != nil {
		return err
	}
	var r reply
	switch t.Method {
	case "Mul":
		r.C = a.A * a.B
	case "Meta":
		r.C = a.A
		res.Metadata.Set("server", "hi this is server md")
		res.Metadata.Set("x-em-host", host)
	case "Div":
		if a.B == 0 {
			return errors.New("divide by zero")
		}
		r.C = a.A / a.B
	}
	var err error
	res.Payload, err = wire.Append(req.Codec, res.Payload, &r)
	return err
}

func (b *backend) lastCall() (wire.Frame, *wire.Call) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last, b.call
}

// serve starts a gateway on loopback until the test ends, and returns its address.
func serve(t testing.TB, b *backend, o Options) string {
	t.Helper()
	return serveWithin(t, b, o, nil)
}

// serveWithin is like serve, with a budget.
func serveWithin(t testing.TB, b *backend, o Options, budget *wire.Budget) string {
	t.Helper()
	_, addr := start(t, b, o, budget)
	return addr
}

// start is like serveWithin, and also returns the server.
func start(t testing.TB, b *backend, o Options, budget *wire.Budget) (*Server, string) {
	t.Helper()
	return startOn(t, listen(t), b, o, budget)
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// startOn is like start, on a listener, which it closes.
func startOn(t testing.TB, ln net.Listener, b *backend, o Options, budget *wire.Budget) (*Server, string) {
	t.Helper()
	o.Handler, o.Resolve, o.Host = b, b.resolve, host
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	srv := NewServer(ServerOptions{Handler: g, Limits: o.Limits, Budget: budget})
	var served sync.WaitGroup
	served.Go(func() {
		if err := srv.Serve(context.Background(), ln); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		served.Wait()
		g.Wait()
	})
	return srv, ln.Addr().String()
}

type answered struct {
	*http.Response
	body    string
	problem problemDetails
}

// do sends a request; header holds "Key: value" lines.
func do(t testing.TB, method, url, body string, header ...string) answered {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		if k, v, ok := strings.Cut(h, ": "); ok {
			req.Header.Add(k, v)
		}
	}
	res, err := http.DefaultTransport.RoundTrip(req) // no redirects
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return read(t, res)
}

// read reads a response to its end.
func read(t testing.TB, res *http.Response) answered {
	t.Helper()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	r := answered{Response: res, body: string(data)}
	if res.Header.Get("Content-Type") == "application/problem+json" && len(data) > 0 {
		if err := json.Unmarshal(data, &r.problem); err != nil {
			t.Fatalf("problem %s: %v", data, err)
		}
		if r.problem.Status != res.StatusCode || r.problem.Title == "" || r.problem.Type != "about:blank" {
			t.Errorf("problem %s does not fit status %d", data, res.StatusCode)
		}
	}
	return r
}
