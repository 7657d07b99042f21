package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

const (
	churnRate  = 200 // calls per second that the limiter grants, whatever else an edit changes
	churnBurst = 50
)

// churnManifest is edit n: it changes every rule, in what carries over, and opens a second instance.
func churnManifest(n int) string {
	return fmt.Sprintf(`
listeners: [{name: main, address: "127.0.0.1:0"}]
admin: {address: ""}
services:
  - {name: Arith, handler: test.arith}
  - {name: Limited, handler: test.count}
  - {name: Broken, handler: test.broken}
  - {name: Same, handler: test.same, options: {value: %d}}
policies:
  rules:
    - {name: limit, description: "edit %d", match: {service: Limited}, rateLimit: {rate: %d, burst: %d}}
    - {name: breaker, match: {service: Broken}, circuitBreaker: {window: 1m, minRequests: 5, failureRate: %d%%, openTimeout: 10m}}
    - {name: r%d, match: {service: Arith, caller: nobody}, rateLimit: {rate: 5}}
    - {name: slots, match: {service: Arith}, concurrency: {max: %d}}
    - {name: time, match: {service: "*"}, timeout: %dms}
`, n, n, churnRate, churnBurst, 50+n%10, n%7, 1000+n%5, 30_000+n%9)
}

// counted grants are those that reach the handler.
type counted struct{ calls atomic.Int64 }

func (c *counted) Call(_ context.Context, _ *args, r *reply) error {
	c.calls.Add(1)
	r.C = 1
	return nil
}

type broken struct{ calls atomic.Int64 }

func (b *broken) Call(context.Context, *args, *reply) error {
	b.calls.Add(1)
	return code.Errorf(code.Unavailable, "broken")
}

// same answers with its option.
type same struct{ value int }

type sameOptions struct {
	Value int `yaml:"value"`
}

func openSame(_ context.Context, o sameOptions, _ registry.Env) (*registry.Service, error) {
	return registry.Receiver(same{o.Value}), nil
}

func (s same) Get(_ context.Context, _ *args, r *reply) error {
	r.C = s.value
	return nil
}

func TestReloadsUnderLoadLoseNoCallAndNoState(t *testing.T) {
	reloads := 1000
	if testing.Short() || raceEnabled {
		reloads = 100
	}
	p, limited, failing := newPlant(t), new(counted), new(broken)
	in := registry.In(p.reg)
	registry.Plain(limited, in, registry.As("test.count"))
	registry.Plain(failing, in, registry.As("test.broken"))
	registry.Register("test.same", sameOptions{}, openSame, in)

	h := serving(t, p.reg, churnManifest(0))
	begin := time.Now()
	load := newLoad(t, h)
	for range 10 {
		load.call("Broken", "Call")
	}
	if n := failing.calls.Load(); n != 5 {
		t.Fatalf("the breaker let %d calls through before it opened, want 5", n)
	}
	load.start()
	eventually(t, "all callers call", func() bool { return load.count.Load() > 20*loadCallers })
	goroutines := runtime.NumGoroutine()
	applied := 1
	for n := 1; n <= reloads; n++ {
		next := setOf(t, fmt.Sprint(n), churnManifest(n))
		if n%10 == 0 {
			next = setOf(t, fmt.Sprint(n), strings.Replace(churnManifest(n), "handler: test.same", "handler: test.nowhere", 1))
		}
		r, err := h.Apply(t.Context(), next)
		switch {
		case n%10 == 0 && err == nil:
			t.Fatalf("edit %d has an unknown handler and is applied", n)
		case n%10 != 0 && err != nil:
			t.Fatalf("edit %d: %v", n, err)
		case n%10 != 0:
			applied++
			load.newest.Store(int64(n))
		}
		if r.Number != applied {
			t.Fatalf("edit %d is r%d, want r%d", n, r.Number, applied)
		}
	}
	// The pool of workers breathes; a reload that left one goroutine behind would show as hundreds.
	eventually(t, "no goroutine is left behind", func() bool { return runtime.NumGoroutine() <= goroutines+50 })
	took := time.Since(begin)
	calls := load.stop()
	t.Logf("%d reloads in %v, %d calls, %d granted by the limiter", reloads, took.Round(time.Millisecond), calls, limited.calls.Load())
	granted, most := limited.calls.Load(), 1.01*(churnBurst+churnRate*took.Seconds())
	if float64(granted) > most+1 {
		t.Errorf("the limiter granted %d calls in %v, want at most %.0f", granted, took, most)
	}
	if granted < churnBurst {
		t.Errorf("the limiter granted %d calls only", granted)
	}
	if n := failing.calls.Load(); n != 5 {
		t.Errorf("the open breaker let %d calls through", n-5)
	}
	load.close()
}

// serving is a host that runs a set without files.
func serving(t testing.TB, reg *registry.Registry, manifest string) *host.Host {
	t.Helper()
	ready := make(chan struct{})
	h, err := host.Open(t.Context(), setOf(t, "", manifest), host.Options{Registry: reg, OnReady: func(*host.Host) { close(ready) }})
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- h.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := receive(t, ran, "the host does not stop"); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-ran:
		t.Fatal(err)
	}
	return h
}

// load is 64 callers, half of them over HTTP.
type load struct {
	t       *testing.T
	address string
	conns   []*wire.Conn
	client  *http.Client
	newest  atomic.Int64
	count   atomic.Int64
	ending  atomic.Bool
	callers sync.WaitGroup
	failed  sync.Once
}

const loadCallers = 64

func newLoad(t *testing.T, h *host.Host) *load {
	l := &load{t: t, address: h.Addr("main").String()}
	l.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: loadCallers, MaxConnsPerHost: loadCallers / 2}}
	for range 4 {
		c, err := wire.Dial(t.Context(), "tcp", l.address, wire.ConnOptions{})
		must(t, err)
		l.conns = append(l.conns, c)
	}
	return l
}

func (l *load) start() {
	for i := range loadCallers {
		l.callers.Go(func() {
			for n := i; !l.ending.Load(); n++ {
				l.one(i, n)
			}
		})
	}
}

func (l *load) stop() int64 {
	l.ending.Store(true)
	l.callers.Wait()
	return l.count.Load()
}

func (l *load) close() {
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.client.CloseIdleConnections()
}

func (l *load) one(caller, n int) {
	target := [][2]string{{"Arith", "Mul"}, {"Same", "Get"}, {"Limited", "Call"}, {"Arith", "mul"}, {"Broken", "Call"}}[n%5]
	oldest := l.newest.Load()
	var c int
	var e *code.Error
	if caller%2 == 0 {
		c, e = l.rpcx(l.conns[caller/2%len(l.conns)], target)
	} else {
		c, e = l.http(target)
	}
	l.count.Add(1)
	if why := wrong(target[0], c, e, oldest, l.newest.Load()); why != "" {
		l.failed.Do(func() { l.t.Errorf("%s (caller %d): %s", target, caller, why) })
	}
}

// wrong returns what no rule explains about an answer.
func wrong(service string, c int, e *code.Error, oldest, newest int64) string {
	switch {
	case service == "Limited" && e != nil && e.Reason == code.ReasonRateLimited && strings.HasPrefix(e.Rule, "limit@r"):
	case service == "Broken" && e != nil && e.Reason == code.ReasonBreakerOpen && strings.HasPrefix(e.Rule, "breaker@r"):
	case e != nil:
		return fmt.Sprintf("%v (%s, %s)", e, e.Reason, e.Rule)
	case service == "Arith" && c != 6:
		return fmt.Sprintf("2 * 3 is %d", c)
	case service == "Same" && (int64(c) < oldest || int64(c) > newest+2):
		return fmt.Sprintf("option %d, want one between %d and %d", c, oldest, newest)
	}
	return ""
}

func (l *load) call(service, method string) (int, *code.Error) {
	return l.rpcx(l.conns[0], [2]string{service, method})
}

func (l *load) rpcx(conn *wire.Conn, target [2]string) (int, *code.Error) {
	var r reply
	err := hosttest.CallJSON(context.Background(), conn, target[0], target[1], args{2, 3}, &r)
	return r.C, code.From(err)
}

func (l *load) http(target [2]string) (int, *code.Error) {
	res, err := l.client.Post("http://"+l.address+"/"+target[0]+"/"+target[1], "application/json", bytes.NewBufferString(`{"A":2,"B":3}`))
	if err != nil {
		return 0, code.From(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, code.From(err)
	}
	if res.StatusCode != http.StatusOK {
		e := &code.Error{Code: code.Unknown}
		if err := json.Unmarshal(body, &struct {
			Reason *string `json:"reason"`
			Rule   *string `json:"rule"`
			Detail *string `json:"detail"`
		}{&e.Reason, &e.Rule, &e.Message}); err != nil {
			e.Message = string(body)
		}
		return 0, e
	}
	var r reply
	err = json.Unmarshal(body, &r)
	return r.C, code.From(err)
}

func TestNoCallIsServedByAMixedGeneration(t *testing.T) {
	// In an even generation the service answers 0 and the rule lets the even caller in; in an odd one it answers 1, to
	// the odd caller. The rule of one with the service of another would show.
	p := newPlant(t)
	registry.Register("test.same", sameOptions{}, openSame, registry.In(p.reg))
	tokens := []config.Token{tokenOf("even", "even-token"), tokenOf("odd", "odd-token")}
	generation := func(n int) *config.Set {
		who := []string{"even", "odd"}[n%2]
		s := setOf(t, fmt.Sprint(n), fmt.Sprintf(`
listeners: [{name: main, address: "127.0.0.1:0"}]
admin: {address: ""}
auth: {identify: [token], tokens: {file: tokens.yaml}}
services: [{name: Same, handler: test.same, options: {value: %d}}]
policies: {rules: [{name: parity, match: {service: Same}, access: {allow: [{caller: %s}]}}]}
`, n%2, who))
		s.Tokens = tokens
		return s
	}
	ready := make(chan struct{})
	h, err := host.Open(t.Context(), generation(0), host.Options{Registry: p.reg, OnReady: func(*host.Host) { close(ready) }})
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- h.Run(ctx) }()
	receive(t, ready, "the host does not serve")
	conn, err := wire.Dial(t.Context(), "tcp", h.Addr("main").String(), wire.ConnOptions{})
	must(t, err)
	var ending atomic.Bool
	var callers sync.WaitGroup
	var granted [2]atomic.Int64
	for i := range 16 {
		callers.Go(func() {
			for !ending.Load() {
				req := wire.Frame{Service: "Same", Method: "Get", Codec: wire.JSON, Payload: []byte("{}")}
				req.Metadata.Set(wire.MetaAuth, []string{"even-token", "odd-token"}[i%2])
				var res wire.Frame
				err := conn.Do(context.Background(), &req, &res)
				e := code.From(err)
				switch {
				case e != nil && e.Reason == code.ReasonDenied:
				case e != nil:
					t.Errorf("%v", e)
					return
				case string(res.Payload) != fmt.Sprintf(`{"C":%d}`, i%2):
					t.Errorf("caller %d was let through and got %s", i%2, res.Payload)
					return
				default:
					granted[i%2].Add(1)
				}
			}
		})
	}
	for n := 1; n < 200; n++ {
		_, err := h.Apply(t.Context(), generation(n))
		must(t, err)
	}
	ending.Store(true)
	callers.Wait()
	if granted[0].Load() == 0 || granted[1].Load() == 0 {
		t.Errorf("granted %d and %d: it proves nothing", granted[0].Load(), granted[1].Load())
	}
	_ = conn.Close()
	stop()
	must(t, receive(t, ran, "the host does not stop"))
}
