package host_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// drained is a host with calls that wait.
func drained(t *testing.T, shutdown string) (*hosttest.Host, *plant) {
	t.Helper()
	p := newPlant(t)
	h := hosttest.Start(t, `
host: {shutdown: {`+shutdown+`}}
services: [{name: Gate, handler: test.gate}, {name: Arith, handler: test.arith}, {name: Tuned, handler: test.tuned}]
`, hosttest.Options{Registry: p.reg})
	return h, p
}

// outcome of a call over either transport.
type outcome struct {
	err    error
	status int
	body   string
}

func callRPCX(t *testing.T, h *hosttest.Host, service, method string) <-chan outcome {
	t.Helper()
	done, conn := make(chan outcome, 1), h.Dial()
	go func() {
		var r reply
		done <- outcome{err: hosttest.CallJSON(context.Background(), conn, service, method, args{2, 3}, &r)}
	}()
	return done
}

func callHTTP(h *hosttest.Host, path string, headers ...string) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		res, body, err := h.TryPost(path, `{"A":2,"B":3}`, headers...)
		if err != nil {
			done <- outcome{err: err}
			return
		}
		done <- outcome{status: res.StatusCode, body: body}
	}()
	return done
}

func TestACallThatFitsIntoTheGracePeriodFinishes(t *testing.T) {
	h, p := drained(t, "gracePeriod: 10s")
	rpcx, http := callRPCX(t, h, "Gate", "Wait"), callHTTP(h, "/Gate/Wait")
	p.gate.come(t)
	p.gate.come(t)
	h.Drain()
	eventually(t, "no more connections", func() bool {
		c, err := net.Dial("tcp", h.Address)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	p.gate.open()
	if o := receive(t, rpcx, "the call over rpcx hangs"); o.err != nil {
		t.Errorf("rpcx: %v", o.err)
	}
	if o := receive(t, http, "the call over HTTP hangs"); o.err != nil || o.status != 200 {
		t.Errorf("HTTP: %+v, want an answer", o)
	}
	before := time.Now()
	h.Stop()
	if took := time.Since(before); took > slack*8*time.Second {
		t.Errorf("it took %v to stop with nothing left to do", took)
	}
	if n := receive(t, p.closed, "the handler is not closed"); n != 1 {
		t.Errorf("closed instance %d", n)
	}
}

func TestACallBeyondTheGracePeriodIsCancelledAndTheHostExits(t *testing.T) {
	t.Parallel()
	h, p := drained(t, "gracePeriod: 400ms")
	rpcx, http := callRPCX(t, h, "Gate", "Wait"), callHTTP(h, "/Gate/Wait")
	oneWay := callHTTP(h, "/Gate/Wait", "X-RPCX-Oneway", "1", "X-RPCX-SerializeType", "1")
	ignores := callRPCX(t, h, "Gate", "Ignore")
	for range 4 {
		p.gate.come(t)
	}
	if o := receive(t, oneWay, "one-way hangs"); o.status != 202 {
		t.Errorf("one-way: %+v", o)
	}
	begin := time.Now()
	h.Stop()
	if took := time.Since(begin); took < 400*time.Millisecond || took > patience {
		t.Errorf("exit after %v, want soon after the grace period", took)
	}
	for range 3 {
		if err := receive(t, p.gate.ended, "a call goes on"); !errors.Is(err, context.Canceled) {
			t.Errorf("a context ended with %v", err)
		}
	}
	for _, c := range []<-chan outcome{rpcx, http, ignores} {
		if o := receive(t, c, "a caller still waits"); o.err == nil && o.status == 200 {
			t.Errorf("a cancelled call was answered: %+v", o)
		}
	}
}

func TestDuringDrainDelayEverythingIsServedByAHostThatIsNotReady(t *testing.T) {
	t.Parallel()
	const delay = 3 * time.Second
	h, _ := drained(t, fmt.Sprintf("gracePeriod: 10s, drainDelay: %s", delay))
	conn := h.Dial()
	begin := time.Now()
	h.Drain()
	eventually(t, "not ready", func() bool {
		r, err := h.Admin.Ready(t.Context())
		return err == nil && !r.Ready
	})
	for _, o := range []outcome{<-callHTTP(h, "/Arith/Mul"), <-callRPCX(t, h, "Arith", "Mul")} {
		if o.err != nil || o.status != 0 && o.status != 200 {
			t.Errorf("%+v, want it served", o)
		}
	}
	var r reply
	if err := hosttest.CallJSON(t.Context(), conn, "Arith", "Mul", args{2, 3}, &r); err != nil || r.C != 6 {
		t.Errorf("on a connection from before: %d, %v", r.C, err)
	}
	h.Stop()
	if took := time.Since(begin); took < delay {
		t.Errorf("stopped after %v, within drainDelay", took)
	}
}

func TestCallsThatComeWithoutTimeLeftAreNotRun(t *testing.T) {
	h, _ := drained(t, "gracePeriod: 10s")
	for _, left := range []string{"0", "-1"} {
		p := rawPeer(t, h.Address)
		f := &wire.Frame{Seq: 7, Service: "Arith", Method: "Mul", Codec: wire.JSON, Payload: []byte(`{"A":2,"B":3}`)}
		f.Metadata.Set(wire.MetaTimeout, left)
		p.Send(f)
		if e := wire.ErrorOf(p.Receive()); e == nil || e.Code != code.DeadlineExceeded || e.Reason != code.ReasonExpired {
			t.Errorf("%s ms left: got %v", left, e)
		}
	}
}

func TestTheDrainIsAnnouncedToPeersThatKnowIt(t *testing.T) {
	h, _ := drained(t, "gracePeriod: 10s")
	p := rawPeer(t, h.Address)
	first := &wire.Frame{Seq: 7, Service: "Arith", Method: "Mul", Codec: wire.JSON, Payload: []byte(`{"A":2,"B":3}`)}
	first.Metadata.Set(wire.MetaAcceptCompression, "none")
	p.Send(first)
	if f := p.Receive(); string(f.Payload) != `{"C":6}` {
		t.Fatalf("%+v", f)
	}
	h.Drain()
	f := p.Receive()
	if f.Type != wire.Request || !f.OneWay || f.Service != wire.DrainPath || f.Seq != 7 {
		t.Errorf("got %+v, want %s with the last sequence", f, wire.DrainPath)
	}
	p.Send(&wire.Frame{Seq: 8, Service: "Arith", Method: "Mul", Codec: wire.JSON, Payload: []byte(`{"A":4,"B":3}`)})
	if f := p.Receive(); string(f.Payload) != `{"C":12}` {
		t.Errorf("a call that came meanwhile: %+v", f)
	}
	h.Stop()
}

func TestKeptAliveHTTPConnectionsLoseNoCallToTheDrain(t *testing.T) {
	h, _ := drained(t, "gracePeriod: 10s, drainDelay: 300ms")
	const callers = 8
	results := make(chan error, callers)
	var connected sync.WaitGroup
	for range callers {
		connected.Add(1)
		conn, err := net.Dial("tcp", h.Address)
		must(t, err)
		defer conn.Close()
		go func() { results <- callUntilClosed(conn, sync.OnceFunc(connected.Done)) }()
	}
	connected.Wait()
	h.Drain()
	for range callers {
		if err := receive(t, results, "a caller hangs"); err != nil {
			t.Error(err)
		}
	}
	h.Stop()
}

// callUntilClosed calls on one connection until the host says that it is the last time. The host may close the connection without
// that after a silence, which is a busy machine here. answered is called for each answer, and at the end.
func callUntilClosed(conn net.Conn, answered func()) error {
	const silence = 50 * time.Millisecond
	defer answered()
	in := bufio.NewReader(conn)
	for last := time.Now(); ; {
		sent := time.Now()
		_, err := fmt.Fprintf(conn, "POST /Arith/Mul HTTP/1.1\r\nHost: %s\r\nContent-Length: 13\r\n\r\n%s", conn.RemoteAddr(), `{"A":2,"B":3}`)
		silent := time.Since(last) > silence
		var res *http.Response
		if err == nil {
			res, err = http.ReadResponse(in, nil)
		}
		if err != nil && silent {
			return nil
		}
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, res.Body)
		answered()
		last = sent // the host has been silent for less
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		if res.Close {
			return nil
		}
	}
}

func TestAnIdleConnectionIsClosedByTheDrain(t *testing.T) {
	h, _ := drained(t, "gracePeriod: 10s")
	conn := h.Dial()
	var r reply
	must(t, hosttest.CallJSON(t.Context(), conn, "Arith", "Mul", args{2, 3}, &r))
	h.Drain()
	receive(t, conn.Done(), "the connection stays open")
	err := hosttest.CallJSON(t.Context(), conn, "Arith", "Mul", args{2, 3}, &r)
	if e := code.From(err); e == nil || e.Code != code.Unavailable {
		t.Errorf("%v, want UNAVAILABLE", err)
	}
}
