package client

import (
	"bytes"
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// another is a Wrap that passes on a frame of its own and a derived context.
func another(before func()) func(wire.Handler) wire.Handler {
	return func(next wire.Handler) wire.Handler {
		return wire.HandlerFunc(func(ctx context.Context, req, res *wire.Frame) error {
			before()
			other := *req
			return next.Handle(context.WithValue(ctx, spanKey{}, "a span"), &other, res)
		})
	}
}

type spanKey struct{}

// ways are the ways to make a call.
var ways = map[string]func(context.Context, *Client) error{
	"Call": func(ctx context.Context, c *Client) error { return six(ctx, c) },
	"Handle": func(ctx context.Context, c *Client) error {
		req := &wire.Frame{Service: "Arith", Method: "Mul", Codec: wire.JSON, Payload: []byte(`{"A":2,"B":3}`)}
		return c.Handle(ctx, req, new(wire.Frame))
	},
}

func TestWrapThatPassesOnAnotherFrameMakesOneCall(t *testing.T) {
	s := newServer(t, mul)
	for name, call := range ways {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{Resolver: serving(s.address), MaxPending: 1, Wrap: another(func() {})})
			for range 3 {
				if err := call(t.Context(), c); err != nil {
					t.Error(err)
				}
			}
			if n := c.calls.Load(); n != 0 {
				t.Errorf("%d calls are counted still", n)
			}
		})
	}
}

func TestCallsWithinWrapCountAsInFlightDuringShutdown(t *testing.T) {
	s := newServer(t, mul)
	for name, call := range ways {
		t.Run(name, func(t *testing.T) {
			within, release := make(chan struct{}), make(chan struct{})
			c := newClient(t, Options{Resolver: serving(s.address), Wrap: another(func() {
				close(within)
				<-release
			})})
			done, down := make(chan error, 1), make(chan error, 1)
			go func() { done <- call(t.Context(), c) }()
			<-within
			go func() { down <- c.Shutdown(t.Context()) }()
			eventually(t, "no more calls are taken", func() bool { return c.shut.Load() })
			close(release)
			for _, end := range []chan error{done, down} {
				if err := <-end; err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestContextsDerivedFromThatOfACallNeedNoGoroutine(t *testing.T) {
	s := newServer(t, mul)
	g := &scripted{do: func(ctx context.Context, call OutgoingCall) (int, error) {
		_, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if n := bytes.Count(stacks, []byte("created by context.(*cancelCtx).propagateCancel")); n > 0 {
			t.Errorf("%d goroutines for one context", n)
		}
		return 0, call.Attempt(ctx, 0, nil)
	}}
	parent, cancel := context.WithCancel(t.Context())
	defer cancel()
	served := wire.NewCall(parent, wire.CallOptions{})
	defer served.End()
	for _, wrap := range []func(wire.Handler) wire.Handler{nil, pass} {
		c := newClient(t, Options{Resolver: serving(s.address), Guard: g, Wrap: wrap})
		for _, call := range ways {
			if err := call(served, c); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestWrapWrapsEveryCallAndMayChangeTheFrame(t *testing.T) {
	var seen []string
	s := newServer(t, mul)
	g := new(scripted)
	c := newClient(t, Options{Resolver: serving(s.address), Guard: g, Wrap: func(next wire.Handler) wire.Handler {
		return wire.HandlerFunc(func(ctx context.Context, req, res *wire.Frame) error {
			other := *req
			other.Metadata = append(wire.Metadata{{"traceparent", "x"}}, req.Metadata...)
			inner, cancel := context.WithCancel(ctx)
			defer cancel()
			err := next.Handle(inner, &other, res)
			seen = append(seen, req.Service+"."+req.Method)
			return err
		})
	}})
	g.do = func(ctx context.Context, call OutgoingCall) (int, error) {
		if !call.Idempotent() || call.Get("traceparent") != "x" {
			t.Errorf("the guard sees %v, %q", call.Idempotent(), call.Get("traceparent"))
		}
		return 0, call.Attempt(ctx, 0, nil)
	}
	if err := six(t.Context(), c, Idempotent()); err != nil {
		t.Fatal(err)
	}
	req, res := &wire.Frame{Service: "Arith", Method: "Other", Codec: wire.JSON, Payload: []byte(`{"A":2,"B":2}`)}, new(wire.Frame)
	g.do = nil
	if err := c.Handle(t.Context(), req, res); err != nil || string(res.Payload) != `{"C":4}` {
		t.Errorf("%v, %s", err, res.Payload)
	}
	if strings.Join(seen, " ") != "Arith.Mul Arith.Other" {
		t.Errorf("seen: %v", seen)
	}
}
