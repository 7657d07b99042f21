package wire_test

import (
	"bytes"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/wiretest"
)

func TestACallBeforeABadFrameIsAnswered(t *testing.T) {
	address, _, _ := onTCP(t, echo, wire.Limits{})
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sent := append(wiretest.Bytes(wiretest.Request(7, "Test", "Echo", wire.Raw, []byte("x"))), make([]byte, 16)...)
	if _, err := c.Write(sent); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if f := wiretest.NewPeer(t, c).Receive(); f.Seq != 7 || string(f.Payload) != "x" {
		t.Errorf("got %+v", f)
	}
}

func TestAServerServesListenersThatComeAndGo(t *testing.T) {
	s := wire.NewServer(wire.ServerOptions{Handler: wire.HandlerFunc(echo)})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 100 {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Error(err)
					return
				}
				_ = ln.Close()
				_ = s.Serve(t.Context(), ln)
			}
		})
	}
	all.Wait()
}

// A handler that blocks holds up its connection for two ticks of a millisecond at most, and others not at all.
func TestABlockedHandlerHoldsUpItsConnectionForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, func(_ context.Context, req, res *wire.Frame) error {
			if req.Method == "Wait" {
				<-release
			}
			res.Payload = append(res.Payload, req.Payload...)
			return nil
		}, wire.Limits{})
		c, other := r.dial(t), r.peer(t)
		p := wiretest.NewPeer(t, c)
		begin := time.Now()
		one := wiretest.Bytes(wiretest.Request(1, "Test", "Echo", wire.Raw, nil))
		two := wiretest.Bytes(wiretest.Request(2, "Test", "Wait", wire.Raw, nil))
		three := wiretest.Bytes(wiretest.Request(3, "Test", "Echo", wire.Raw, nil))
		if _, err := c.Write(bytes.Join([][]byte{one, two, three}, nil)); err != nil {
			t.Fatal(err)
		}
		other.Send(wiretest.Request(4, "Test", "Echo", wire.Raw, nil))
		if f := other.Receive(); f.Seq != 4 || time.Since(begin) > 0 {
			t.Errorf("another connection gets %d after %v", f.Seq, time.Since(begin))
		}
		for _, seq := range []uint64{1, 3} {
			if f := p.Receive(); f.Seq != seq || time.Since(begin) > 2*time.Millisecond {
				t.Errorf("got %d after %v, want %d", f.Seq, time.Since(begin), seq)
			}
		}
		close(release)
		if f := p.Receive(); f.Seq != 2 {
			t.Errorf("got %d", f.Seq)
		}
		r.stop()
	})
}

// The state of a call is used again, but a context that its handler keeps remains its own, and ended.
func TestAKeptContextEndsWithItsCall(t *testing.T) {
	var kept []*wire.Context
	var ran atomic.Int64
	address, _, _ := onTCP(t, func(ctx context.Context, _, _ *wire.Frame) error {
		x := wire.CallFrom(ctx).Keep(new(wire.Context))
		if x.Err() != nil || wire.CallFrom(x) == nil {
			t.Errorf("the context of a call that runs: %v", x.Err())
		}
		x.AfterFunc(func() { ran.Add(1) })
		kept = append(kept, x)
		return nil
	}, wire.Limits{})
	c := dialTCP(t, address)
	const calls = 50
	for range calls {
		if _, err := call(t.Context(), c, "Keep", ""); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range kept {
		<-x.Done()
		if x.Err() == nil || wire.CallFrom(x) != nil {
			t.Errorf("%v, call %v", x.Err(), wire.CallFrom(x))
		}
	}
	eventually(t, "the functions to run", func() bool { return ran.Load() == calls })
}
