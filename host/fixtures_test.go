package host_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/wiretest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if !raceEnabled {
		_ = flag.Set("test.parallel", "8") // tests that are parallel wait most of the time
	}
	goleak.VerifyTestMain(m)
}

// patience is how long anything may take before a test fails.
const patience = 20 * time.Second

type (
	args  struct{ A, B int }
	reply struct{ C int }
)

// arith has the methods behind the recorded conversations.
type arith struct{}

func (arith) Mul(_ context.Context, a *args, r *reply) error {
	r.C = a.A * a.B
	return nil
}

func (arith) Div(_ context.Context, a *args, r *reply) error {
	if a.B == 0 {
		return errors.New("divide by zero")
	}
	r.C = a.A / a.B
	return nil
}

func (arith) Meta(ctx context.Context, _ *args, r *reply) error {
	registry.ReplyMetadata(ctx).Set("server", "hi this is server md")
	r.C = 1
	return nil
}

// gate is a handler whose calls wait until the test lets them go.
type gate struct {
	entered chan struct{} // one for each call that came in
	release chan struct{} // closed to let all go
	ended   chan error    // what the context of each call said when it ended
	opened  sync.Once
}

func newGate() *gate {
	return &gate{entered: make(chan struct{}, 1000), release: make(chan struct{}), ended: make(chan error, 1000)}
}

func (g *gate) open() { g.opened.Do(func() { close(g.release) }) }

// Wait ends with its context.
func (g *gate) Wait(ctx context.Context, _ *args, r *reply) error {
	g.entered <- struct{}{}
	select {
	case <-g.release:
		r.C = 1
		return nil
	case <-ctx.Done():
		g.ended <- ctx.Err()
		return ctx.Err()
	}
}

// Ignore goes on whatever its context says.
func (g *gate) Ignore(ctx context.Context, _ *args, r *reply) error {
	g.entered <- struct{}{}
	<-g.release
	r.C = 1
	g.ended <- ctx.Err()
	return nil
}

func (g *gate) come(t *testing.T) {
	t.Helper()
	receive(t, g.entered, "the call does not reach the handler")
}

// crash does what handlers should not do.
type crash struct{}

func (crash) Panic(context.Context, *args, *reply) error { panic("the sky falls") }

func (crash) Goexit(context.Context, *args, *reply) error {
	runtime.Goexit()
	return nil
}

// Nap takes a second, or until its caller is gone.
func (crash) Nap(ctx context.Context, _ *args, _ *reply) error {
	select {
	case <-time.After(time.Second):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// BadError returns an error that cannot say what it is.
func (crash) BadError(context.Context, *args, *reply) error { return speechless{} }

type speechless struct{}

func (speechless) Error() string { panic("no words") }

// tunedOptions are the options of the handlers that answer with them.
type tunedOptions struct {
	Value int  `yaml:"value"`
	Fail  bool `yaml:"fail"`
}

// tuned answers with its options and with the number of its instance.
type tuned struct {
	value    atomic.Int64
	instance int64
	plant    *plant
}

// Get answers with value, and with the instance a thousandfold.
func (s *tuned) Get(_ context.Context, _ *args, r *reply) error {
	r.C = int(s.instance*1000 + s.value.Load())
	return nil
}

func (s *tuned) Wait(ctx context.Context, a *args, r *reply) error {
	if err := s.plant.gate.Wait(ctx, a, r); err != nil {
		return err
	}
	return s.Get(ctx, a, r)
}

func (s *tuned) Reconfigure(_ context.Context, o tunedOptions) error {
	if o.Fail {
		return errors.New("these options do not suit")
	}
	s.value.Store(int64(o.Value))
	return nil
}

// plant is the handlers of one test, and what became of their instances.
type plant struct {
	reg    *registry.Registry
	gate   *gate
	opened atomic.Int64
	closed chan int64 // instance by instance
	ready  atomic.Pointer[func(context.Context) error]
	slow   chan struct{} // opening test.slow waits for it
}

func newPlant(t testing.TB) *plant {
	p := &plant{reg: registry.New(), gate: newGate(), closed: make(chan int64, 1000), slow: make(chan struct{})}
	in := registry.In(p.reg)
	registry.Plain(arith{}, in, registry.As("test.arith"))
	registry.Plain(p.gate, in, registry.As("test.gate"))
	registry.Plain(crash{}, in, registry.As("test.crash"))
	open := func(reconfigurable bool) func(context.Context, tunedOptions, registry.Env) (*registry.Service, error) {
		return func(_ context.Context, o tunedOptions, _ registry.Env) (*registry.Service, error) {
			if o.Fail {
				return nil, errors.New("these options do not suit")
			}
			s := &tuned{instance: p.opened.Add(1), plant: p}
			s.value.Store(int64(o.Value))
			service := registry.Receiver(s).OnClose(func() error {
				p.closed <- s.instance
				return nil
			}).OnReady(func(ctx context.Context) error {
				if f := p.ready.Load(); f != nil {
					return (*f)(ctx)
				}
				return nil
			})
			if reconfigurable {
				service.OnOptions(s.Reconfigure)
			}
			return service, nil
		}
	}
	registry.Register("test.tuned", tunedOptions{Value: 1}, open(true), in, registry.Methods[tuned]())
	registry.Register("test.fixed", tunedOptions{Value: 1}, open(false), in, registry.Methods[tuned]())
	registry.Register("test.slow", tunedOptions{}, func(ctx context.Context, o tunedOptions, e registry.Env) (*registry.Service, error) {
		p.gate.entered <- struct{}{}
		select {
		case <-p.slow:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return open(false)(ctx, o, e)
	}, in, registry.Methods[tuned]())
	t.Cleanup(p.gate.open)
	return p
}

// receive waits for something that must happen.
func receive[T any](t testing.TB, c <-chan T, otherwise string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal(otherwise)
		panic("unreachable")
	}
}

// eventually asks until the answer is yes, for conditions without an event.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// rule is a policy file with one rate limit.
func rule(rate int) string {
	return fmt.Sprintf("rules:\n  - {name: arith-mul, match: {service: Arith}, rateLimit: {rate: %d, burst: %d}}\n", rate, rate)
}

// rawPeer sends and reads frames as they are.
func rawPeer(t testing.TB, address string) *wiretest.Peer {
	t.Helper()
	c, err := net.Dial("tcp", address)
	must(t, err)
	must(t, c.SetDeadline(time.Now().Add(patience)))
	return wiretest.NewPeer(t, c)
}

// tokenOf is a token as a tokens file has it.
func tokenOf(caller, token string) config.Token {
	sum := sha256.Sum256([]byte(token))
	return config.Token{Caller: caller, SHA256: hex.EncodeToString(sum[:])}
}

// logBuffer is a log that a test reads.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// alone reports whether a test has the process for itself, so that all memory and goroutines are its own. If not, it runs the test in
// another process.
func alone(t *testing.T) bool {
	t.Helper()
	const variable = "TEST_EASYMICRO_ALONE"
	if os.Getenv(variable) == t.Name() {
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=1h")
	cmd.Env = append(os.Environ(), variable+"="+t.Name())
	out, err := cmd.CombinedOutput()
	if t.Logf("%s", out); err != nil {
		t.Error(err)
	}
	return false
}
