package rollback_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	_ "github.com/easymicro/easymicro/samples"
	"github.com/easymicro/easymicro/wire"
)

// called calls Arith.Mul all the time, until the test ends.
func called(t *testing.T, h *hosttest.Host) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	t.Cleanup(func() {
		stop()
		calls.Wait()
	})
	conn := h.Dial()
	calls.Go(func() {
		for ctx.Err() == nil {
			_ = conn.Do(ctx, &wire.Frame{Service: "Arith", Method: "Mul", Codec: wire.JSON, Payload: []byte(`{"a":73,"b":1500}`)}, new(wire.Frame))
		}
	})
}

func TestASlipIsUndoneAndHeld(t *testing.T) {
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	called(t, h)
	h.Edit("policies.yaml", "rate: 10000", "rate: 1")
	if r := h.Revision(); r.Number != 2 || r.Result != host.ResultApplied {
		t.Fatalf("r%d %s", r.Number, r.Result)
	}
	r := h.Revision()
	if r.Number != 3 || r.Source != host.SourceAutoRollback || !strings.HasPrefix(r.Why, "r2 rolled back: arith-mul refused ") {
		t.Fatalf("r%d by %s: %s", r.Number, r.Source, r.Why)
	}
	if _, err := h.Admin.Reload(t.Context(), false); err == nil || !strings.Contains(err.Error(), "r3 keeps running: r2 rolled back") {
		t.Errorf("reload: %v", err)
	}
	if r, err := h.Admin.Reload(t.Context(), true); err != nil || r.Number != 4 || r.Result != host.ResultApplied {
		t.Errorf("reload by force: %+v, %v", r, err)
	}
}
