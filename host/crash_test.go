package host_test

import (
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// crashing is a host whose handlers do what they should not. Its log goes to a buffer.
func crashing(t *testing.T, more string) (*hosttest.Host, *plant, *logBuffer) {
	t.Helper()
	p, log := newPlant(t), new(logBuffer)
	return hosttest.Start(t, `
services: [{name: Crash, handler: test.crash}, {name: Arith, handler: test.arith}, {name: Gate, handler: test.gate}]
`+more, hosttest.Options{Registry: p.reg, Log: log}), p, log
}

func TestAPanicIsOneInternalReplyAndTheHostGoesOn(t *testing.T) {
	h, _, log := crashing(t, "")
	conn := h.Dial()
	for _, method := range []string{"Panic", "Goexit"} {
		var r reply
		e := code.From(hosttest.CallJSON(t.Context(), conn, "Crash", method, args{}, &r))
		if e == nil || e.Code != code.Internal || e.Reason != code.ReasonPanic || strings.Contains(e.Error(), "sky") {
			t.Errorf("%s over rpcx: %v", method, e)
		}
		res, body := h.Post("/Crash/"+method, "{}")
		if res.StatusCode != http.StatusInternalServerError || !strings.Contains(body, `"reason":"panic"`) || strings.Contains(body, "sky") {
			t.Errorf("%s over HTTP: %s %s", method, res.Status, body)
		}
		must(t, hosttest.CallJSON(t.Context(), conn, "Arith", "Mul", args{2, 3}, &r)) // its connection lives
	}
	if text := log.String(); !strings.Contains(text, "the sky falls") || !strings.Contains(text, "fixtures_test.go") {
		t.Errorf("the log does not say what panicked and where:\n%s", text)
	}
}

func TestExposeInternalShowsThePanicAndNothingElseDependsOnIt(t *testing.T) {
	for _, expose := range []bool{false, true} {
		h, _, _ := crashing(t, map[bool]string{true: "gateway: {errors: {exposeInternal: true}}\n"}[expose])
		var r reply
		conn := h.Dial()
		err := hosttest.CallJSON(t.Context(), conn, "Crash", "Panic", args{}, &r)
		_, body := h.Post("/Crash/Panic", "{}")
		if strings.Contains(err.Error(), "the sky falls") != expose || strings.Contains(body, "the sky falls") != expose {
			t.Errorf("exposeInternal %t: %v, %s", expose, err, body)
		}
		// A handler's own error reaches its caller verbatim over both.
		err = hosttest.CallJSON(t.Context(), conn, "Arith", "Div", args{1, 0}, &r)
		res, body := h.Post("/Arith/Div", `{"A":1}`)
		if err == nil || err.Error() != "divide by zero" {
			t.Errorf("over rpcx: %v", err)
		}
		if res.StatusCode != http.StatusInternalServerError || !strings.Contains(body, `"detail":"divide by zero"`) ||
			!strings.Contains(body, `"code":"UNKNOWN"`) {
			t.Errorf("over HTTP: %s %s", res.Status, body)
		}
	}
}

func TestPanicsLeakNothing(t *testing.T) {
	panics := 10_000
	if testing.Short() || raceEnabled {
		panics = 1_000
	}
	h, _, log := crashing(t, "policies: {rules: [{name: slots, match: {service: Crash}, concurrency: {max: 4}}]}\n")
	conn := h.Dial()
	crash := func(times int) {
		for i := range times {
			method := "Panic"
			if i%10 == 0 {
				method = "Goexit"
			}
			var r reply
			if e := code.From(hosttest.CallJSON(t.Context(), conn, "Crash", method, args{}, &r)); e == nil || e.Reason != code.ReasonPanic {
				t.Fatalf("call %d: %v", i, e)
			}
		}
	}
	crash(panics / 10)
	goroutines, heap := runtime.NumGoroutine(), heapInUse()
	crash(panics)
	eventually(t, "no goroutine is left behind", func() bool { return runtime.NumGoroutine() <= goroutines+5 })
	if grown := int64(heapInUse()) - int64(heap); grown > 4<<20 {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
	if lines := strings.Count(log.String(), "handler panicked"); lines > 20 {
		t.Errorf("%d lines in the log", lines)
	}
	rules, err := h.Admin.Rules(t.Context())
	if err != nil || !strings.HasPrefix(rules[0].Kinds[0].State, "0 ") {
		t.Errorf("slots are left taken: %+v, %v", rules, err)
	}
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestAHandlerThatIgnoresItsDeadlineKeepsItsSlotAndDelaysNoAnswer(t *testing.T) {
	h, p, _ := crashing(t, `policies: {rules: [{name: slow, match: {service: Gate}, timeout: 200ms, concurrency: {max: 2}}]}`+"\n")
	rpcx, http := callRPCX(t, h, "Gate", "Ignore"), callHTTP(h, "/Gate/Ignore")
	p.gate.come(t)
	p.gate.come(t)
	begin := time.Now()
	if e := code.From(receive(t, rpcx, "no answer over rpcx").err); e == nil || e.Reason != code.ReasonTimeout || e.Rule != "slow@r1" {
		t.Errorf("over rpcx: %v", e)
	}
	if o := receive(t, http, "no answer over HTTP"); o.status != 504 || !strings.Contains(o.body, "slow@r1") {
		t.Errorf("over HTTP: %+v", o)
	}
	if took := time.Since(begin); took > slack*10*time.Second {
		t.Errorf("the answers came after %v", took)
	}
	if res, body := h.Post("/Gate/Ignore", "{}"); res.StatusCode != 503 || !strings.Contains(body, "overloaded") {
		t.Errorf("both slots are taken, and yet: %s %s", res.Status, body)
	}
	p.gate.open()
	for range 2 {
		if err := receive(t, p.gate.ended, "the handler hangs"); err == nil {
			t.Error("the context of a call did not end at its deadline")
		}
	}
	eventually(t, "the slots are free", func() bool {
		res, _, err := h.TryPost("/Gate/Ignore", "{}")
		return err == nil && res.StatusCode == 200
	})
	if got := strings.Count(scrape(t, h), `rpc_status_code="DEADLINE_EXCEEDED"`); got == 0 {
		t.Error("they are not counted as DEADLINE_EXCEEDED")
	}
}

func TestALateResultIsDropped(t *testing.T) {
	h, p, _ := crashing(t, `policies: {rules: [{name: slow, match: {service: Gate}, timeout: 50ms}]}`+"\n")
	peer := rawPeer(t, h.Address)
	peer.Send(&wire.Frame{Seq: 1, Service: "Gate", Method: "Ignore", Codec: wire.JSON, Payload: []byte("{}")})
	f := peer.Receive()
	if e := wire.ErrorOf(f); f.Seq != 1 || e == nil || e.Code != code.DeadlineExceeded {
		t.Fatalf("%+v", f)
	}
	p.gate.open()
	<-p.gate.ended
	peer.Send(&wire.Frame{Seq: 2, Service: "Arith", Method: "Mul", Codec: wire.JSON, Payload: []byte(`{"A":2,"B":3}`)})
	if f := peer.Receive(); f.Seq != 2 || string(f.Payload) != `{"C":6}` {
		t.Errorf("%+v, want the next answer", f)
	}
}
