package client

import (
	"context"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// Raw calls measure client and connection. Both sides count, since the server is in this process; the codec allocates once
// for the reply.
func TestCallsAllocateLittle(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	s := newServer(t, func(_ context.Context, req, res *wire.Frame) error {
		res.Payload = append(res.Payload, req.Payload...)
		return nil
	})
	payload := make([]byte, 500)
	for name, tc := range map[string]struct {
		o    Options
		most float64
	}{
		"plain": {Options{}, 0.5},
		"deadline": {Options{Guard: &scripted{do: func(ctx context.Context, call OutgoingCall) (int, error) {
			d := WithDeadline(ctx, time.Now().Add(5*time.Second))
			defer d.Release()
			return 0, call.Attempt(d, 0, nil)
		}}}, 2.5},
		"guarded": {Options{Guard: new(scripted)}, 0.5},
		"wrapped": {Options{Wrap: pass}, 1.5},
	} {
		tc.o.Resolver, tc.o.Codec = serving(s.address), "raw"
		c := newClient(t, tc.o)
		var reply []byte
		var args any = &payload
		n := testing.AllocsPerRun(2000, func() {
			if err := c.Call(t.Context(), "Arith", "Echo", args, &reply); err != nil {
				t.Fatal(err)
			}
		})
		t.Logf("%s: %v allocations a call", name, n)
		if n > tc.most {
			t.Errorf("%s: %v allocations a call, want %v at most", name, n, tc.most)
		}
	}
}
