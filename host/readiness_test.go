package host_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
)

func TestAHandlerThatIsAskedWhetherItIsReadyHoldsNothingUp(t *testing.T) {
	h, p := rolled(t, "services: [{name: S, handler: test.fixed}]\n")
	no := func(context.Context) error { return errors.New("the database is away") }
	p.ready.Store(&no)
	eventually(t, "not ready", func() bool {
		r, err := h.Admin.Ready(t.Context())
		return err == nil && !r.Ready
	})
	status, err := h.Admin.Status(t.Context())
	must(t, err)
	if status.Ready || status.Services[0].Detail != "the database is away" {
		t.Errorf("%+v", status.Services[0])
	}
	var asked atomic.Int64
	hang := make(chan struct{})
	defer close(hang)
	stuck := func(context.Context) error {
		asked.Add(1)
		<-hang
		return nil
	}
	p.ready.Store(&stuck)
	eventually(t, "it is asked", func() bool {
		go func() { _, _ = h.Admin.Ready(context.Background()) }()
		return asked.Load() > 0
	})
	begin := time.Now()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if r, err := h.Admin.Ready(t.Context()); err != nil || r.Ready {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
	all.Wait()
	if took := time.Since(begin); took > slack*5*time.Second {
		t.Errorf("it took %v", took)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the handler is asked %d times at once", n)
	}
}

func TestStatusAnswersWhileAHandlerOpens(t *testing.T) {
	h, p := rolled(t, "services: [{name: S, handler: test.fixed}]\n")
	h.Edit("easymicro.yaml", "services: [", "services: [{name: Slow, handler: test.slow}, ")
	p.gate.come(t)
	begin := time.Now()
	if r, err := h.Admin.Ready(t.Context()); err != nil || !r.Ready {
		t.Errorf("%+v, %v", r, err)
	}
	if s, err := h.Admin.Status(t.Context()); err != nil || len(s.Listeners) != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if h.Addr("main") == nil || len(h.Listening()) != 1 {
		t.Error("the listeners are hidden")
	}
	if took := time.Since(begin); took > slack*10*time.Second {
		t.Errorf("it took %v", took)
	}
	close(p.slow)
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Errorf("%s %v", r.Result, r.Problems)
	}
}

// It is asked nothing, so that a busy process does not answer too late.
func TestAServiceWithoutOnReadyIsReadyAtOnce(t *testing.T) {
	h := hosttest.Start(t, "services: [{name: Arith, handler: test.arith}]\n", hosttest.Options{Registry: newPlant(t).reg})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		for _, c := range host.AdminOf(h.Host).Checks(ctx) {
			if !c.OK {
				t.Fatalf("%+v", c)
			}
		}
	}
}
