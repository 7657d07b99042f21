package host_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// late calls its upstream when it is let go.
type late struct {
	gate *gate
	till registry.Client
}

func (l *late) Mul(ctx context.Context, a *args, r *reply) error {
	if err := l.gate.Wait(ctx, a, r); err != nil {
		return err
	}
	return l.till.Call(ctx, "Mul", a, r)
}

// withLate registers test.late, and keeps what it was opened with.
func withLate(p *plant, opened *registry.Client, closed chan<- error) {
	registry.Register("test.late", struct{}{}, func(_ context.Context, _ struct{}, e registry.Env) (*registry.Service, error) {
		c := e.Client("till")
		*opened = c
		return registry.Receiver(&late{p.gate, c}).OnClose(func() error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			closed <- c.Call(ctx, "Mul", &args{1, 1}, new(reply))
			return nil
		}), nil
	}, registry.In(p.reg), registry.Uses("till"), registry.Methods[late]())
}

const lateManifest = `
host: {shutdown: {drainDelay: 0s, gracePeriod: 20s}}
services: [{name: Late, handler: test.late, uses: {till: till}}]
upstreams: [{name: till, service: Till, connection: {connectTimeout: 20s}, resolve: {endpoints: [%q]}}]
`

func TestHandlersCallTheirUpstreamsUntilTheyAreClosed(t *testing.T) {
	far, _ := startTill(t, 0)
	p := newPlant(t)
	var c registry.Client
	closed := make(chan error, 1)
	withLate(p, &c, closed)
	h := hosttest.Start(t, fmt.Sprintf(lateManifest, far.Address), hosttest.Options{Registry: p.reg})
	answer := callRPCX(t, h, "Late", "Mul")
	p.gate.come(t)
	h.Drain()
	eventually(t, "it drains", func() bool {
		_, err := h.Apply(t.Context(), h.Set())
		return errors.Is(err, host.ErrDraining)
	})
	p.gate.open()
	if got := receive(t, answer, "the call has no answer"); got.err != nil {
		t.Errorf("a call that drains: %v", got.err)
	}
	if err := receive(t, closed, "the handler is not closed"); err != nil {
		t.Errorf("a handler that closes: %v", err)
	}
	h.Stop()
	if err := c.Call(t.Context(), "Mul", &args{1, 1}, new(reply)); err == nil || !strings.Contains(err.Error(), "the host is shutting down") {
		t.Errorf("after the end: %v", err)
	}
}

func TestAClientCallsBeforeTheHostRunsAndNotAfterItWasClosed(t *testing.T) {
	far, _ := startTill(t, 0)
	p := newPlant(t)
	var c registry.Client
	withLate(p, &c, make(chan error, 1))
	h, err := host.Open(t.Context(), setOf(t, "", fmt.Sprintf(lateManifest, far.Address)), host.Options{Registry: p.reg})
	must(t, err)
	var r reply
	if err := c.Call(t.Context(), "Mul", &args{6, 7}, &r); err != nil || r.C != 42 {
		t.Errorf("before Run: %d %v", r.C, err)
	}
	h.Close()
	if err := c.Call(t.Context(), "Mul", &args{6, 7}, &r); err == nil || !strings.Contains(err.Error(), "the host is shutting down") {
		t.Errorf("after Close: %v", err)
	}
}

// A peer that has vanished never says that it has read a one-way call that was passed on to it.
func TestAHostEndsWithItsGracePeriodBesideAPeerThatHasVanished(t *testing.T) {
	t.Parallel()
	told := make(chan struct{})
	address := wiretest.Meet(t, func(c net.Conn) {
		p := wiretest.NewPeer(t, c)
		p.Greet()
		if f, err := p.TryReceive(); err == nil && f.OneWay {
			close(told)
		}
		_, _ = io.Copy(io.Discard, c)
	})
	h := hosttest.Start(t, `
host: {shutdown: {drainDelay: 0s, gracePeriod: 200ms}}
discovery: {etcd: [{name: main, endpoints: ["http://127.0.0.1:1"]}]}
`+toAll, hosttest.Options{})
	y := newYard()
	y.put("Away", address)
	must(t, host.LeadTo(h.Host, y))
	if r, body := h.Post("/Away/Tell", `{}`, "Easymicro-Oneway", "1"); r.StatusCode != 202 {
		t.Fatalf("%d %s", r.StatusCode, body)
	}
	receive(t, told, "it is not told")
	began := time.Now()
	h.Stop()
	if took := time.Since(began); took > busy {
		t.Errorf("it has ended after %v", took)
	}
}
