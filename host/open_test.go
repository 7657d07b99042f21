package host_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/wire/wiretest"
)

func TestAHostThatDoesNotOpenLeavesNoHandlerOpen(t *testing.T) {
	p := newPlant(t)
	_, err := host.Open(t.Context(), setOf(t, "", `
services:
  - {name: First, handler: test.tuned}
  - {name: Second, handler: test.fixed, options: {fail: true}}
`), host.Options{Registry: p.reg})
	var problems config.Problems
	if !errors.As(err, &problems) || !strings.Contains(err.Error(), "easymicro.yaml:4:") {
		t.Errorf("%v, want a problem with its place", err)
	}
	if n := receive(t, p.closed, "the first service stays open"); n != 1 || p.opened.Load() != 1 {
		t.Errorf("instance %d closed of %d opened", n, p.opened.Load())
	}
}

func TestATakenPortNamesItsFieldAndLeavesNothingBehind(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	free := wiretest.Address(t)
	for _, tt := range []struct{ field, place, manifest string }{
		{"listeners[1].address", "easymicro.yaml:4:", `
listeners:
  - {name: one, address: "FREE"}
  - {name: two, address: "TAKEN"}
admin: {address: ""}
`},
		{"admin.address", "easymicro.yaml:4:", `
listeners:
  - {name: one, address: "FREE"}
admin: {address: "TAKEN"}
`},
		{"health.address", "easymicro.yaml:5:", `
listeners:
  - {name: one, address: "127.0.0.1:0"}
admin: {address: "FREE"}
health: {address: "TAKEN"}
`},
	} {
		t.Run(tt.field, func(t *testing.T) {
			p := newPlant(t)
			text := strings.NewReplacer("TAKEN", taken.Addr().String(), "FREE", free).Replace(tt.manifest)
			h, err := host.Open(t.Context(), setOf(t, "", text+"services: [{name: Tuned, handler: test.tuned}]\n"),
				host.Options{Registry: p.reg})
			must(t, err)
			err = h.Run(t.Context())
			var problems config.Problems
			if !errors.As(err, &problems) || problems[0].Path != tt.field || !strings.Contains(err.Error(), tt.place) {
				t.Errorf("%v, want a problem of %s at %s", err, tt.field, tt.place)
			}
			receive(t, p.closed, "the handler stays open")
			again, err := net.Listen("tcp", free)
			if err != nil {
				t.Fatalf("the other socket stays open: %v", err)
			}
			must(t, again.Close())
		})
	}
}

func TestAHostThatNeverRunsIsReleasedByClose(t *testing.T) {
	p := newPlant(t)
	h, err := host.Open(t.Context(), setOf(t, "", "services: [{name: Tuned, handler: test.tuned}]\n"), host.Options{Registry: p.reg})
	must(t, err)
	h.Close()
	receive(t, p.closed, "the handler stays open")
	if _, err := h.Apply(t.Context(), setOf(t, "", oneRule)); !errors.Is(err, host.ErrDraining) {
		t.Errorf("apply after close: %v", err)
	}
}

func TestAChangeThatIsBeingMadeIsGivenUpWhenTheHostDrains(t *testing.T) {
	p := newPlant(t)
	ready := make(chan struct{})
	attempts := make(chan host.Attempt, 10)
	h, err := host.Open(t.Context(), setOf(t, "", oneRule), host.Options{
		Registry: p.reg, OnReady: func(*host.Host) { close(ready) }, OnAttempt: func(r host.Attempt) { attempts <- r },
	})
	must(t, err)
	<-attempts
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- h.Run(ctx) }()
	receive(t, ready, "the host does not serve")
	slow := setOf(t, "", oneRule+"\n")
	slow.Manifest = setOf(t, "", strings.Replace(oneRule, "services: [", "services: [{name: Slow, handler: test.slow}, ", 1)).Manifest
	applied := make(chan error, 1)
	go func() {
		_, err := h.Apply(context.Background(), slow)
		applied <- err
	}()
	p.gate.come(t) // the handler is being opened
	stop()
	if err := receive(t, applied, "the change holds the host up"); !errors.Is(err, host.ErrDraining) {
		t.Errorf("apply: %v, want that the host drains", err)
	}
	must(t, receive(t, ran, "the host does not stop"))
	if _, err := h.Reload(t.Context(), host.SourceSignal, ""); err == nil {
		t.Error("a host that is done reloads")
	}
	select {
	case r := <-attempts:
		t.Errorf("it was recorded as %s", r.Result)
	default:
	}
}
