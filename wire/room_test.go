package wire_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// blocking is a handler whose calls of the method Wait wait, and are counted.
func blocking(release <-chan struct{}) (h wire.HandlerFunc, running *atomic.Int64) {
	running = new(atomic.Int64)
	return func(_ context.Context, req, res *wire.Frame) error {
		if req.Method == "Wait" {
			running.Add(1)
			<-release
		}
		res.Payload = append(res.Payload, "done"...)
		return nil
	}, running
}

func packedZeros(t testing.TB, c wire.Compression, n int) []byte {
	t.Helper()
	b, err := wire.AppendCompressed(nil, c, make([]byte, n))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecompressedRequestsOfAConnectionAreBoundedAndTheRestWait(t *testing.T) {
	const most, calls = 1 << 20, 50
	for _, c := range []wire.Compression{wire.Gzip, wire.Zstd} {
		packed := packedZeros(t, c, most)
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			h, running := blocking(release)
			r := newRig(t, h, wire.Limits{MaxDecompressedBytes: most})
			p := r.peer(t)
			for seq := range uint64(calls) {
				req := wiretest.Request(seq, "Test", "Wait", wire.Raw, packed)
				req.Compression = c
				p.Send(req)
			}
			synctest.Wait()
			if n := running.Load(); n != 4 {
				t.Errorf("%v: %d calls of %d bytes run, want 4", c, n, most)
			}
			p.Send(wiretest.Request(calls, "Test", "Plain", wire.Raw, nil))
			if f := p.Receive(); f.Seq != calls {
				t.Errorf("%v: a plain call waits behind those", c)
			}
			close(release)
			for range calls {
				if f := p.Receive(); f.Status != wire.StatusNormal {
					t.Errorf("%v: %v", c, wire.ErrorOf(f))
				}
			}
			r.stop()
		})
	}
}

func TestCallsThatWaitToBeDecompressedEndWithTheirConnection(t *testing.T) {
	const most = 1 << 20
	packed := packedZeros(t, wire.Gzip, most)
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h, running := blocking(release)
		r := newRig(t, h, wire.Limits{MaxDecompressedBytes: most})
		p := r.peer(t)
		for seq := range uint64(10) {
			req := wiretest.Request(seq, "Test", "Wait", wire.Raw, packed)
			req.Compression = wire.Gzip
			p.Send(req)
		}
		synctest.Wait()
		_ = p.Close()
		synctest.Wait()
		close(release)
		r.stop()
		if n := running.Load(); n != 4 {
			t.Errorf("%d calls were run, want the 4 that had begun", n)
		}
	})
}

func TestConnectionWhoseRequestsHoldTooMuchIsNotRead(t *testing.T) {
	const most, calls = 64 << 10, 40
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h, running := blocking(release)
		r := newRig(t, h, wire.Limits{MaxMessageBytes: most})
		p := r.peer(t)
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for seq := range uint64(calls) {
				p.Send(wiretest.Request(seq, "Test", "Wait", wire.Raw, make([]byte, most/2)))
			}
		}()
		synctest.Wait()
		if n := running.Load(); n != 32 {
			t.Errorf("%d calls of %d bytes are in flight, want 32", n, most/2)
		}
		close(release)
		for range calls {
			p.Receive()
		}
		<-sent
		r.stop()
	})
}
