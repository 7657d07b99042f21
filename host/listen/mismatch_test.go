package listen

import (
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/mux"
)

// The host does not buffer a large call of a peer that has not made a handshake.
func TestALargeCallWithoutTLSIsAnsweredAndNotKept(t *testing.T) {
	var limits config.Limits
	limits.MaxMessageBytes, limits.MaxMetadataBytes, limits.MaxMetadataPairs = 64<<20, 8<<10, 64
	f := &wire.Frame{Service: "Arith", Method: "Mul", Seq: 7, Payload: make([]byte, 32<<20)}
	sent := wire.AppendFrame(nil, f)
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		defer far.Close()
		mismatches{"h", Limits(limits)}.answer(far, mux.RejectPlain)
	}()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := near.Write(sent); err != nil {
		t.Fatal(err)
	}
	in := wire.NewReader(near, wire.Limits{})
	defer in.Release()
	var got wire.Frame
	err := in.Read(&got)
	runtime.ReadMemStats(&after)
	if err != nil || got.Seq != 7 || !strings.Contains(string(wire.AppendFrame(nil, &got)), "this port requires TLS") {
		t.Errorf("%v %+v", err, got)
	}
	if kept := after.TotalAlloc - before.TotalAlloc; kept > 4<<20 {
		t.Errorf("%d bytes", kept)
	}
	_, _ = io.Copy(io.Discard, near)
}
