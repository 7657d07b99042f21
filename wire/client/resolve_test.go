package client

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

func TestEmptyListsAndResolverErrorsFailCallsAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		names := newNames()
		c := n.client(Options{Resolver: names, Group: "blue"})
		want := func(text string) {
			t.Helper()
			begin := time.Now()
			e := wantError(t, six(t.Context(), c), code.Unavailable, code.ReasonNoEndpoint)
			if !strings.Contains(e.Message, text) || time.Since(begin) != 0 {
				t.Errorf("after %v: %q, want %q", time.Since(begin), e.Message, text)
			}
		}
		want("no endpoint of Arith is known: nothing serves it")
		names.set("Arith", Endpoint{Address: "a", Metadata: map[string]string{"group": "green"}})
		synctest.Wait()
		want(`no endpoint of Arith has the group "blue" (1 have another)`)
		names.set("Arith")
		synctest.Wait()
		names.fail(errors.New("etcd is away"))
		synctest.Wait()
		want("no endpoint of Arith is known: etcd is away")
		names.fail(nil)
		defer n.serve("a", mul)()
		names.set("Arith", Endpoint{Address: "a", Metadata: map[string]string{"group": "blue"}})
		synctest.Wait()
		if err := six(t.Context(), c); err != nil {
			t.Error(err)
		}
		names.fail(errors.New("etcd is away"))
		synctest.Wait()
		if err := six(t.Context(), c); err != nil {
			t.Errorf("the last list holds: %v", err)
		}
		if s := c.Status()[0]; s.Err != "etcd is away" || len(s.Endpoints) != 1 || s.Endpoints[0].State != "ready" {
			t.Errorf("%+v", s)
		}
		_ = c.Close()
	})
}

// watching makes a function a Resolver.
type watching func(ctx context.Context, service string, update func([]Endpoint, error)) error

func (w watching) Watch(ctx context.Context, service string, update func([]Endpoint, error)) error {
	return w(ctx, service, update)
}

func TestFirstCallsWaitForTheListUpToConnectTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		defer n.serve("a", mul)()
		answer := 500 * time.Millisecond
		c := n.client(Options{Resolver: watching(func(ctx context.Context, _ string, update func([]Endpoint, error)) error {
			select {
			case <-time.After(answer):
				update(at("a"), nil)
			case <-ctx.Done():
			}
			<-ctx.Done()
			return ctx.Err()
		})})
		begin := time.Now()
		if err := six(t.Context(), c); err != nil || time.Since(begin) != answer {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		answer, begin = time.Hour, time.Now()
		err := c.Call(t.Context(), "Other", "Mul", &Args{}, nil)
		if wantError(t, err, code.Unavailable, code.ReasonNoEndpoint); time.Since(begin) != time.Second {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		wantError(t, c.Call(ctx, "Other", "Mul", &Args{}, nil), code.DeadlineExceeded, code.ReasonTimeout)
		late := make(chan error, 1)
		go func() { late <- c.Call(t.Context(), "Other", "Mul", &Args{}, nil) }()
		synctest.Wait()
		_ = c.Close()
		wantError(t, <-late, code.Unavailable, code.ReasonNoEndpoint)
	})
}

func TestWatchThatReturnsIsCalledAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		defer n.serve("a", mul)()
		var times atomic.Int64
		c := n.client(Options{Resolver: watching(func(_ context.Context, _ string, update func([]Endpoint, error)) error {
			if times.Add(1) > 1 {
				update(at("a"), nil)
			}
			return errors.New("no luck")
		})})
		wantError(t, six(t.Context(), c), code.Unavailable, code.ReasonNoEndpoint)
		time.Sleep(time.Second)
		if err := six(t.Context(), c); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if times := times.Load(); times < 5 || times > 30 {
			t.Errorf("watched %d times", times)
		}
		_ = c.Close()
	})
}

func TestCallsFollowTheListToAnEndpointThatIsBack(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		defer n.serve("a", mul)()
		n.silence("b", true)
		names := serving("a")
		c := n.client(Options{Resolver: names})
		slow := make(chan struct{})
		c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == "a" {
				<-slow
			}
			return n.dial(ctx, network, address)
		}
		done := make(chan error, 1)
		go func() { done <- six(t.Context(), c) }() // waits for a
		synctest.Wait()
		names.set("Arith", at("b")...) // now for b
		synctest.Wait()
		if len(n.dialled("b")) != 1 {
			t.Error("the call waits for an endpoint that has left the list")
		}
		names.set("Arith", at("a")...)
		synctest.Wait()
		close(slow)
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = c.Close()
	})
}

func TestServicesThatAreNotCalledAreDropped(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		defer n.serve("a", mul)()
		names := serving("a")
		c := n.client(Options{Resolver: names})
		if err := six(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		for i := range maxServices + 100 {
			wantError(t, c.Call(t.Context(), "Invented"+strconv.Itoa(i), "Mul", &Args{}, nil), code.Unavailable, code.ReasonNoEndpoint)
		}
		synctest.Wait()
		if got := names.count(); got > maxServices {
			t.Errorf("%d services are watched", got)
		}
		if err := six(t.Context(), c); err != nil {
			t.Errorf("one that is served: %v", err)
		}
		time.Sleep(unknownKept + 2*sweepEvery)
		if got := names.count(); got != 1 {
			t.Errorf("%d services are watched, want the one that is served", got)
		}
		time.Sleep(serviceKept + 2*sweepEvery)
		synctest.Wait()
		if got := names.count(); got != 0 || len(c.Status()) != 0 || len(c.nodes) != 0 {
			t.Errorf("%d services, %d nodes", got, len(c.nodes))
		}
		if err := six(t.Context(), c); err != nil {
			t.Errorf("called again: %v", err)
		}
		_ = c.Close()
	})
}

// The bound is generous: it is that of a machine under load. To look at all services for each name takes far longer.
func TestDroppingMadeUpNamesIsCheap(t *testing.T) {
	c := newClient(t, Options{Resolver: watching(func(ctx context.Context, _ string, _ func([]Endpoint, error)) error {
		<-ctx.Done()
		return ctx.Err()
	})})
	const names = 20_000
	begin := time.Now()
	for i := range names {
		if _, err := c.service("Invented" + strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begin); took > 6*time.Second {
		t.Errorf("it took %v", took)
	}
	if n, m := len(c.services), len(c.unknown); n != maxServices || m != n {
		t.Errorf("%d services, %d of them unknown", n, m)
	}
}
