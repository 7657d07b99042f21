package wire_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// Clients of easymicro 2019 take any frame with the sequence of a call in flight for its answer, and crash on an unexpected
// heartbeat.
func TestClientsOfEasymicro2019ReceiveOnlyTheirAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(ctx context.Context, req, res *wire.Frame) error {
			time.Sleep(9 * time.Second)
			return stock(ctx, req, res)
		}, shortLimits)
		p := r.peer(t)
		if _, err := p.Write(wiretest.Recording(t, "testdata/golden", "em-json-mul").Frames[0].Bytes); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		done := make(chan error, 1)
		go func() { done <- r.Shutdown(t.Context()) }()
		if f := p.Receive(); f.Type != wire.Response || f.Heartbeat || f.Seq != 1 || string(f.Payload) != `{"C":109500}` {
			t.Errorf("got %+v", f)
		}
		if f, err := p.TryReceive(); !errors.Is(err, io.EOF) {
			t.Errorf("got %+v, %v", f, err)
		}
		_ = p.Close()
		if err := <-done; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		r.stop()
	})
}

func TestOnlyPeersWithAKeyOfOursReceiveTheDrainAndTheHost(t *testing.T) {
	for name, tc := range map[string]struct {
		sent       []*wire.Frame
		introduced bool
	}{
		"nothing sent yet":   {nil, false},
		"rpcx":               {[]*wire.Frame{wiretest.Request(0, "Arith", "mul", wire.Raw, nil)}, false},
		"rpcx, with a token": {[]*wire.Frame{wiretest.With(wiretest.Request(0, "Arith", "mul", wire.Raw, nil), wire.MetaAuth, "x-em-")}, false},
		"the original":       {[]*wire.Frame{wiretest.Request(1, "arith", "mul", wire.Raw, nil)}, false},
		"ours":               {[]*wire.Frame{ours(0)}, true},
		"ours, later":        {[]*wire.Frame{wiretest.Request(1, "arith", "mul", wire.Raw, nil), ours(2)}, true},
		"ours, twice":        {[]*wire.Frame{ours(0), ours(1)}, true},
		"any key of ours":    {[]*wire.Frame{wiretest.With(wiretest.Request(3, "arith", "mul", wire.Raw, nil), "x-em-new", "")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRigWith(t, wire.ServerOptions{Handler: wire.HandlerFunc(echo), Host: "orders-1"})
				p := r.peer(t)
				introduced := 0
				for _, f := range tc.sent {
					p.Send(f)
					f := p.Receive()
					if f.Metadata.Get(wire.MetaHost) == "orders-1" && f.Metadata.Get(wire.MetaAcceptCompression) == "gzip,zstd" {
						introduced++
					} else if len(f.Metadata) > 0 {
						t.Errorf("got %v", f.Metadata)
					}
				}
				if once := introduced == 1; once != tc.introduced {
					t.Errorf("introduced %d times, want it introduced: %v", introduced, tc.introduced)
				}
				synctest.Wait()
				if err := r.Shutdown(t.Context()); err != nil {
					t.Errorf("Shutdown: %v", err)
				}
				f, err := p.TryReceive()
				if announced := err == nil && f.Service == wire.DrainPath; announced != tc.introduced {
					t.Errorf("drain announced %v, want %v: %+v, %v", announced, tc.introduced, f, err)
				}
				r.stop()
			})
		})
	}
}

func TestTheFirstAnswerNamesTheHostEvenIfItIsAnError(t *testing.T) {
	r := newRigWith(t, wire.ServerOptions{Host: "orders-1", Handler: wire.HandlerFunc(func(context.Context, *wire.Frame, *wire.Frame) error {
		return errors.New("no")
	})})
	p := r.peer(t)
	p.Send(ours(7))
	if f := p.Receive(); f.Metadata.Get(wire.MetaHost) != "orders-1" || wire.ErrorOf(f) == nil {
		t.Errorf("got %+v", f)
	}
}
