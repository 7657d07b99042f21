package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// rawConn is a connection of a client that writes requests as they are.
type rawConn struct {
	net.Conn
	in *bufio.Reader
}

func dialRaw(t *testing.T, addr string) *rawConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &rawConn{conn, bufio.NewReader(conn)}
}

func (c *rawConn) post(method, body string, header ...string) {
	lines := strings.Join(append(header, ""), "\r\n")
	fmt.Fprintf(c, "POST /Arith/%s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s", method, lines, len(body), body)
}

func (c *rawConn) response(t *testing.T) answered {
	t.Helper()
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return read(t, res)
}

const factors = `{"a":73,"b":1500}`

// stuck is a backend whose Hook is answered after a moment, but does not return before leave is closed.
func stuck(leave <-chan struct{}, begun ...chan<- struct{}) *backend {
	return &backend{hook: func(ctx context.Context, _, _ *wire.Frame) error {
		wire.CallFrom(ctx).ExpireAt(time.Now().Add(20*time.Millisecond), wire.ExpirerFunc(late))
		for _, c := range begun {
			c <- struct{}{}
		}
		<-leave
		return nil
	}}
}

func TestAConnectionGoesOnAfterAnEarlyAnswer(t *testing.T) {
	leave, begun := make(chan struct{}), make(chan struct{}, 1)
	defer close(leave)
	addr := serve(t, stuck(leave, begun), Options{})
	for name, pipelined := range map[string]int{"alone": 0, "one pipelined": 1, "many pipelined": 500} {
		for _, during := range []bool{false, true} { // the call, are the others sent
			c := dialRaw(t, addr)
			for range 3 {
				c.post("Mul", factors)
				if r := c.response(t); r.body != line {
					t.Fatalf("%s: %d %s", name, r.StatusCode, r.body)
				}
				c.post("Hook", "{}")
				if during {
					waitFor(t, begun, "the call")
				}
				for range pipelined {
					c.post("Mul", factors)
				}
				if !during {
					waitFor(t, begun, "the call")
				}
				r := c.response(t)
				if r.StatusCode != 504 || r.problem.Reason != "timeout" || r.Close || r.Header.Get("Connection") != "" || r.TransferEncoding != nil {
					t.Fatalf("%s: %d %s %s", name, r.StatusCode, r.Header, r.body)
				}
				for i := range pipelined {
					if r := c.response(t); r.body != line {
						t.Fatalf("%s: response %d: %d %s", name, i, r.StatusCode, r.body)
					}
				}
			}
		}
	}
}

func TestAConnectionThatIsToBeClosedIsClosedAfterAnEarlyAnswer(t *testing.T) {
	leave := make(chan struct{})
	defer close(leave)
	addr := serve(t, stuck(leave), Options{})
	for _, asked := range []string{"close", "Close, x", "foo close", "x, close"} {
		c := dialRaw(t, addr)
		c.post("Hook", "{}", "Connection: "+asked)
		if r := c.response(t); r.StatusCode != 504 || !r.Close {
			t.Errorf("%s: %d %s", asked, r.StatusCode, r.Header)
		}
		if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: the connection is open: %v", asked, err)
		}
	}
}

func TestAConnectionIsIdleAfterAnEarlyAnswer(t *testing.T) {
	leave := make(chan struct{})
	defer close(leave)
	addr := serve(t, stuck(leave), Options{Limits: wire.Limits{IdleTimeout: 200 * time.Millisecond}})
	c := dialRaw(t, addr)
	c.post("Hook", "{}")
	c.response(t)
	begin := time.Now()
	if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) || time.Since(begin) > 4*time.Second {
		t.Errorf("it ends after %s: %v", time.Since(begin), err)
	}
}

func TestShutdownEndsAConnectionThatIsIdleAfterAnEarlyAnswer(t *testing.T) {
	leave := make(chan struct{})
	srv, addr := start(t, stuck(leave), Options{}, nil)
	c := dialRaw(t, addr)
	c.post("Hook", "{}")
	c.response(t)
	begin := time.Now()
	if err := srv.Shutdown(t.Context()); err != nil || time.Since(begin) > 4*time.Second {
		t.Errorf("it takes %s: %v", time.Since(begin), err)
	}
	close(leave)
}

func TestACallInFlightHasItsDeadlineDuringShutdown(t *testing.T) {
	leave, begun := make(chan struct{}), make(chan struct{})
	defer close(leave)
	b := &backend{hook: func(ctx context.Context, _, _ *wire.Frame) error {
		wire.CallFrom(ctx).ExpireAt(time.Now().Add(300*time.Millisecond), wire.ExpirerFunc(late))
		close(begun)
		<-leave
		return nil
	}}
	srv, addr := start(t, b, Options{}, nil)
	c := dialRaw(t, addr)
	c.post("Hook", "{}")
	waitFor(t, begun, "the call")
	down := make(chan error, 1)
	go func() { down <- srv.Shutdown(context.Background()) }()
	if r := c.response(t); r.StatusCode != 504 {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
	if err := waitFor(t, down, "the end of the server"); err != nil {
		t.Error(err)
	}
	if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the connection is open: %v", err)
	}
}

// A client that closes only its sending side has gone, too, but it can read why its call ended.
func TestACallerThatLeavesIsAnsweredWhileTheHandlerRuns(t *testing.T) {
	leave, ended := make(chan struct{}), make(chan error, 1)
	b := &backend{hook: func(ctx context.Context, _, _ *wire.Frame) error {
		<-ctx.Done()
		ended <- ctx.Err()
		<-leave
		return nil
	}}
	var open atomic.Int64
	g, err := New(Options{Handler: b, Resolve: b.resolve, Host: host})
	if err != nil {
		t.Fatal(err)
	}
	srv := NewServer(ServerOptions{Handler: g, Opened: func() { open.Add(1) }, Closed: func() { open.Add(-1) }})
	ln := listen(t)
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(context.Background(), ln) })
	defer serving.Wait()
	defer g.Wait()
	defer close(leave)
	defer srv.Close()
	for _, how := range []string{"half", "whole"} {
		c := dialRaw(t, ln.Addr().String())
		c.post("Hook", "{}")
		if how == "half" {
			_ = c.Conn.(*net.TCPConn).CloseWrite()
			if r := c.response(t); r.StatusCode != 499 || r.problem.Reason != "cancelled" {
				t.Errorf("%d %s", r.StatusCode, r.body)
			}
			if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("the connection is open: %v", err)
			}
		} else {
			_ = c.Close()
		}
		if err := waitFor(t, ended, "the end of the context"); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", how, err)
		}
		for end := time.Now().Add(10 * time.Second); open.Load() > 0; runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatalf("%s: %d connections stay open while handlers run", how, open.Load())
			}
		}
	}
}

func TestAConnectionGoesOnAfterAHandlerEndedItsGoroutine(t *testing.T) {
	b := &backend{hook: func(context.Context, *wire.Frame, *wire.Frame) error {
		runtime.Goexit()
		return nil
	}}
	c := dialRaw(t, serve(t, b, Options{}))
	for range 3 {
		c.post("Hook", "{}")
		if r := c.response(t); r.StatusCode != 500 || r.Close || r.problem.Detail != "the handler ended its goroutine" {
			t.Errorf("%d %s %s", r.StatusCode, r.Header, r.body)
		}
		c.post("Mul", factors)
		if r := c.response(t); r.body != line {
			t.Errorf("%d %s", r.StatusCode, r.body)
		}
	}
}

func TestAContextCanBeKeptAfterItsCall(t *testing.T) {
	kept := make(chan context.Context, 1)
	b := &backend{hook: func(ctx context.Context, _, _ *wire.Frame) error {
		kept <- wire.CallFrom(ctx).Keep(nil)
		return nil
	}}
	c := dialRaw(t, serve(t, b, Options{}))
	for range 20 {
		c.post("Hook", "{}")
		c.response(t)
		ctx := <-kept
		c.post("Mul", factors) // uses the memory of the call again
		if r := c.response(t); r.body != line {
			t.Fatalf("%d %s", r.StatusCode, r.body)
		}
		if err := ctx.Err(); !errors.Is(err, context.Canceled) || wire.CallFrom(ctx) != nil {
			t.Errorf("%v, of %v", err, wire.CallFrom(ctx))
		}
		<-ctx.Done()
		ran := make(chan struct{})
		context.AfterFunc(ctx, func() { close(ran) })
		waitFor(t, ran, "what is to run after the call")
	}
}

// The deadline, the end of the request and the return of the handler race. Each call gets one answer, its own.
func TestEarlyAnswersRaceWithHandlers(t *testing.T) {
	b := &backend{hook: func(ctx context.Context, req, res *wire.Frame) error {
		wire.CallFrom(ctx).ExpireAt(time.Now().Add(time.Duration(rand.IntN(6_000))*time.Microsecond), wire.ExpirerFunc(late))
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(rand.IntN(6_000)) * time.Microsecond):
		}
		res.Payload = append(res.Payload, req.Payload...)
		return nil
	}}
	addr := serve(t, b, Options{})
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			c := dialRaw(t, addr)
			for i := range 150 {
				if rand.IntN(20) == 0 { // leaves in the middle of a call
					c.post("Hook", "{}")
					_ = c.Close()
					c = dialRaw(t, addr)
				}
				body := fmt.Sprintf(`{"a":%d}`, caller*1000+i)
				c.post("Hook", body)
				switch r := c.response(t); {
				case r.StatusCode == 200 && strings.TrimSpace(r.body) == body:
				case r.StatusCode == 504 && r.problem.Reason == "timeout":
				default:
					t.Errorf("%d %s", r.StatusCode, r.body)
				}
				c.post("Mul", factors)
				if r := c.response(t); r.body != line {
					t.Errorf("%d %s", r.StatusCode, r.body)
				}
			}
		})
	}
	callers.Wait()
}
