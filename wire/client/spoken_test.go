package client

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// imposter serves an address with something that does not speak the protocol, and returns what it received.
func imposter(t *testing.T, n *network, address string, says string, closes bool) (got func() []byte) {
	t.Helper()
	ln := wiretest.Listen()
	t.Cleanup(func() { _ = ln.Close() })
	n.hosts[address] = ln
	var mu sync.Mutex
	var all []byte
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 1000)
			k, _ := c.Read(b)
			mu.Lock()
			all = append(all, b[:k]...)
			mu.Unlock()
			_, _ = io.WriteString(c, says)
			if !closes {
				_, _ = io.Copy(io.Discard, c)
			}
			_ = c.Close()
		}
	}()
	return func() []byte {
		mu.Lock()
		defer mu.Unlock()
		return bytes.Clone(all)
	}
}

func TestCallsAreSentOnlyToServersThatSpeakTheProtocol(t *testing.T) {
	for name, tc := range map[string]struct {
		says   string
		closes bool
	}{
		"an HTTP port":               {says: "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", closes: true},
		"a greeting":                 {says: "SSH-2.0-OpenSSH_9.6\r\n"},
		"it closes without a word":   {closes: true},
		"it takes all, and is quiet": {},
		"half a frame":               {says: "\x08\x00\x80\x30", closes: true},
		"a frame of nonsense":        {says: "\x08\x00\x80\x30\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01sesame"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				defer n.serve("good", mul)()
				got := imposter(t, n, "bad", tc.says, tc.closes)
				c := n.client(Options{Resolver: serving("bad", "good"), Policy: RoundRobin})
				for range 20 {
					if err := six(t.Context(), c, Token("secret")); err != nil {
						t.Error(err)
					}
					time.Sleep(100 * time.Millisecond)
				}
				for _, s := range c.Status()[0].Endpoints {
					if (s.State == "ready") != (s.Address == "good") {
						t.Errorf("%s is %s", s.Address, s.State)
					}
				}
				if b := got(); len(b) == 0 || bytes.Contains(b, []byte("Arith")) || bytes.Contains(b, []byte("secret")) {
					t.Errorf("it was sent %q", b)
				}
				wantSlow(t, n.dialled("bad"))

				alone := n.client(Options{Resolver: serving("bad")})
				e := wantError(t, six(t.Context(), alone), code.Unavailable, code.ReasonNoEndpoint)
				for _, theirs := range []string{"HTTP", "0x48", "SSH", "0x53", "sesame"} {
					if strings.Contains(e.Message, theirs) {
						t.Errorf("what it has sent is in the error: %v", e)
					}
				}
				if !code.NotRun(e.Reason) || !strings.Contains(e.Message, "rpcx") && tc.closes {
					t.Errorf("got %v", e)
				}
				_, _ = c.Close(), alone.Close()
			})
		})
	}
}

// ending serves one connection after the other, each with its own function.
func ending(t *testing.T, n *network, address string, each ...func(p *wiretest.Peer)) (over <-chan struct{}) {
	t.Helper()
	ln := wiretest.Listen()
	t.Cleanup(func() { _ = ln.Close() })
	n.hosts[address] = ln
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, do := range each {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p := wiretest.NewPeer(t, c)
			if f, err := p.TryReceive(); err == nil { // the heartbeat before the first call
				f.Type = wire.Response
				_, _ = c.Write(wire.AppendFrame(nil, wiretest.With(f, wire.MetaHost, "h")))
				do(p)
			}
			_ = c.Close()
		}
	}()
	return done
}

func ends(last uint64) *wire.Frame {
	return &wire.Frame{OneWay: true, Service: wire.DrainPath, Method: "last", Seq: last}
}

// served answers calls of six until the connection ends.
func served(p *wiretest.Peer) {
	for {
		f, err := p.TryReceive()
		if err != nil {
			return
		}
		if f.Heartbeat || f.OneWay {
			continue
		}
		res := &wire.Frame{Type: wire.Response, Seq: f.Seq, Codec: f.Codec}
		if err := mul(context.Background(), f, res); err != nil {
			return
		}
		p.Send(res)
	}
}

func TestCallsThatAPeerHadNotReadWhenItEndedAreSentAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		guard := &scripted{do: func(ctx context.Context, call OutgoingCall) (int, error) { return 0, call.Attempt(ctx, 0, nil) }}
		over := ending(t, n, "a", func(p *wiretest.Peer) {
			p.Receive()
			p.Send(ends(wire.HeartbeatSeq))
		}, served)
		c := n.client(Options{Resolver: serving("a"), Guard: guard})
		begin := time.Now()
		if err := six(t.Context(), c); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("after %v", took)
		}
		_ = c.Close()
		<-over
	})
}

func TestOneWayCallsThatAPeerHadNotReadWhenItEndedAreSentAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		arrived := make(chan *wire.Frame, 1)
		over := ending(t, n, "a", func(p *wiretest.Peer) {
			p.Receive()
			p.Send(ends(wire.HeartbeatSeq))
		}, func(p *wiretest.Peer) { arrived <- p.Receive() })
		c := n.client(Options{Resolver: serving("a")})
		if err := c.Notify(t.Context(), "Arith", "Mul", &Args{2, 3}, Metadata("k", "v")); err != nil {
			t.Fatal(err)
		}
		if f := <-arrived; !f.OneWay || f.Service != "Arith" || f.Metadata.Get("k") != "v" || len(f.Payload) == 0 {
			t.Errorf("got %+v", f)
		}
		_ = c.Close()
		<-over
	})
}

func TestAPeerThatNeverReadsIsTriedTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		refuse := func(p *wiretest.Peer) {
			p.Receive()
			p.Send(ends(wire.HeartbeatSeq))
		}
		over := ending(t, n, "a", refuse, refuse)
		c := n.client(Options{Resolver: serving("a")})
		wantError(t, six(t.Context(), c), code.Unavailable, code.ReasonDraining)
		<-over
		_ = c.Close()
	})
}

// A server that closes idle connections is healthy, however soon it does.
func TestConnectionsThatEndBetweenCallsAreNoFailure(t *testing.T) {
	for _, idle := range []time.Duration{600 * time.Millisecond, 5 * time.Second} {
		inBubble(t, func(t *testing.T, n *network) {
			ln := wiretest.Listen()
			n.hosts["a"] = ln
			srv := wire.NewServer(wire.ServerOptions{Handler: wire.HandlerFunc(mul), Limits: wire.Limits{IdleTimeout: idle}})
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = srv.Serve(ctx, ln)
			}()
			c := n.client(Options{Resolver: serving("a"), KeepaliveInterval: time.Minute})
			for range 20 {
				begin := time.Now()
				if err := six(t.Context(), c); err != nil {
					t.Errorf("idle for %v: %v", idle, err)
				}
				if took := time.Since(begin); took > 0 {
					t.Errorf("idle for %v: a call took %v", idle, took)
				}
				time.Sleep(idle + idle/4)
				synctest.Wait()
				if s := c.Status()[0].Endpoints[0]; s.State == "backoff" || s.State == "draining" {
					t.Errorf("idle for %v: it is %s: %s", idle, s.State, s.Err)
				}
			}
			_ = c.Close()
			cancel()
			<-done
		})
	}
}

func TestAServerThatEndsEachConnectionAtOnceIsDialledTwiceASecond(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		var each []func(*wiretest.Peer)
		for range 100 {
			each = append(each, func(*wiretest.Peer) {})
		}
		over := ending(t, n, "a", each...)
		c := n.client(Options{Resolver: serving("a")})
		for range 200 {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			_ = six(ctx, c)
			cancel()
			time.Sleep(10 * time.Millisecond)
		}
		wantSlow(t, n.dialled("a"))
		_ = c.Close()
		_ = n.hosts["a"].Close()
		<-over
	})
}
