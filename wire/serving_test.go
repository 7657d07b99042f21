package wire_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// counting is an Observer that records events.
type counting struct {
	mu      sync.Mutex
	open    int
	opened  int
	reasons map[string]int
}

func (o *counting) ConnOpened() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open++
	o.opened++
}

func (o *counting) ConnClosed() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open--
}

func (o *counting) WireError(reason string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.reasons == nil {
		o.reasons = map[string]int{}
	}
	o.reasons[reason]++
}

func (o *counting) count(reason string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.reasons[reason]
}

// rig is a server on an in-memory network.
type rig struct {
	*wire.Server
	ln   *wiretest.Listener
	seen *counting
	stop func()
}

func newRig(t testing.TB, h wire.HandlerFunc, lim wire.Limits) *rig {
	t.Helper()
	return newRigWith(t, wire.ServerOptions{Handler: h, Limits: lim})
}

func newRigWith(t testing.TB, o wire.ServerOptions) *rig {
	t.Helper()
	seen := new(counting)
	o.Observer = seen
	s := wire.NewServer(o)
	ln := wiretest.Listen()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) && !errors.Is(err, wire.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return &rig{Server: s, ln: ln, seen: seen, stop: stop}
}

func (r *rig) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := r.ln.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (r *rig) peer(t testing.TB) *wiretest.Peer { return wiretest.NewPeer(t, r.dial(t)) }

func (r *rig) client(t testing.TB, o wire.ConnOptions) *wire.Conn {
	t.Helper()
	c := wire.NewConn(r.dial(t), o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// onTCP starts a server on a loopback socket.
func onTCP(t testing.TB, h wire.HandlerFunc, lim wire.Limits) (address string, s *wire.Server, seen *counting) {
	t.Helper()
	return onTCPWith(t, wire.ServerOptions{Handler: h, Limits: lim})
}

func onTCPWith(t testing.TB, o wire.ServerOptions) (address string, s *wire.Server, seen *counting) {
	t.Helper()
	seen = new(counting)
	o.Observer = seen
	s = wire.NewServer(o)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return ln.Addr().String(), s, seen
}

func dialTCP(t testing.TB, address string) *wire.Conn {
	t.Helper()
	c, err := wire.Dial(t.Context(), "tcp", address, wire.ConnOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// echo answers with the request's payload.
func echo(_ context.Context, req, res *wire.Frame) error {
	res.Payload = append(res.Payload, req.Payload...)
	return nil
}

// call sends one raw call.
func call(ctx context.Context, c *wire.Conn, method, payload string) (string, error) {
	var res wire.Frame
	err := c.Do(ctx, wiretest.Request(0, "Test", method, wire.Raw, []byte(payload)), &res)
	return string(res.Payload), err
}

func wantError(t testing.TB, err error, c code.Code, reason string) {
	t.Helper()
	wiretest.WantError(t, err, c, reason)
}

// eventually waits until a condition that the test cannot signal is true.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	wiretest.Within(t, 10*time.Second, what, is)
}

func TestPipelinedCallsOfManyCallersAreEachAnsweredInKind(t *testing.T) {
	address, _, _ := onTCP(t, echo, wire.Limits{})
	const callers, calls = 64, 200
	conns := []*wire.Conn{dialTCP(t, address), dialTCP(t, address)}
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for n := range calls {
				want := strconv.Itoa(i) + "/" + strconv.Itoa(n)
				got, err := call(t.Context(), conns[i%len(conns)], "Echo", want)
				if err != nil || got != want {
					t.Errorf("got %q, %v; want %q", got, err, want)
					return
				}
			}
		})
	}
	all.Wait()
}

func TestBlockedHandlersDoNotStallTheirConnection(t *testing.T) {
	release := make(chan struct{})
	h := func(ctx context.Context, req, res *wire.Frame) error {
		if req.Method == "Block" {
			<-release
		}
		return echo(ctx, req, res)
	}
	address, _, _ := onTCP(t, h, wire.Limits{})
	c := dialTCP(t, address)
	var blocked sync.WaitGroup
	for range 50 {
		blocked.Go(func() {
			if _, err := call(t.Context(), c, "Block", "x"); err != nil {
				t.Error(err)
			}
		})
	}
	for range 200 {
		if got, err := call(t.Context(), c, "Echo", "y"); got != "y" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	close(release)
	blocked.Wait()
}

func TestOneWayRequestsGetNoResponseNotEvenAnError(t *testing.T) {
	ran := make(chan string, 3)
	r := newRig(t, func(_ context.Context, req, _ *wire.Frame) error {
		ran <- req.Method
		if req.Method == "Panic" {
			panic("one-way")
		}
		return errors.New("no")
	}, wire.Limits{})
	p := r.peer(t)
	p.Send(wiretest.OneWay(1, "Test", "Fail", wire.Raw, nil), wiretest.OneWay(2, "Test", "Panic", wire.Raw, nil))
	<-ran
	<-ran
	p.Send(wiretest.Heartbeat(3))
	if f := p.Receive(); !f.Heartbeat || f.Seq != 3 {
		t.Errorf("got %+v before the heartbeat's answer", f)
	}
}

func TestHeartbeatIsAnsweredWithTheSameFrame(t *testing.T) {
	r := newRig(t, echo, wire.Limits{})
	p := r.peer(t)
	p.Send(&wire.Frame{
		Heartbeat: true, Seq: 9, Codec: wire.Msgpack, Service: "s", Payload: []byte("12345678"),
		Metadata: wire.Metadata{{"a", "b"}},
	})
	f := p.Receive()
	if f.Type != wire.Response || !f.Heartbeat || f.Seq != 9 || f.Codec != wire.Msgpack || f.Service != "s" ||
		string(f.Payload) != "12345678" || f.Metadata.Get("a") != "b" {
		t.Errorf("got %+v", f)
	}
}
