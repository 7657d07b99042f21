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

// Clients of the original easymicro take whatever has the sequence of a call that is out for its answer, and crash on a
// heartbeat that they did not ask for.
func TestClientsOfTheOriginalGetNothingButTheirAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := shortLimits
		lim.MaxInFlight = 1 // after one call the connection is not read, which others are told every 2 s
		r := newRig(t, func(ctx context.Context, req, res *wire.Frame) error {
			time.Sleep(9 * time.Second)
			return stock(ctx, req, res)
		}, lim)
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

func TestDrainIsToldToAllButClientsOfTheOriginal(t *testing.T) {
	type sent struct {
		service string
		seq     uint64
	}
	for name, tc := range map[string]struct {
		sent []sent
		told bool
	}{
		"nothing sent yet":         {nil, true},
		"rpcx, from 0":             {[]sent{{"arith", 0}}, true},
		"rpcx, two at once":        {[]sent{{"arith", 1}, {"arith", 0}}, true},
		"rpcx, one by one":         {[]sent{{"arith", 0}, {"arith", 1}}, true},
		"case kept":                {[]sent{{"Arith", 1}}, true},
		"the original":             {[]sent{{"arith", 1}, {"arith", 2}}, false},
		"the original, heartbeats": {[]sent{{"arith", 4}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, echo, wire.Limits{})
				p := r.peer(t)
				for _, s := range tc.sent {
					p.Send(wiretest.Request(s.seq, s.service, "mul", wire.Raw, nil))
					p.Receive()
				}
				synctest.Wait()
				if err := r.Shutdown(t.Context()); err != nil {
					t.Errorf("Shutdown: %v", err)
				}
				f, err := p.TryReceive()
				if told := err == nil && f.Service == wire.DrainPath; told != tc.told {
					t.Errorf("told %v, want %v: %+v, %v", told, tc.told, f, err)
				}
				r.stop()
			})
		})
	}
}
