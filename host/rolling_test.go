package host_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// rolled is a host whose manifest is edited.
func rolled(t *testing.T, manifest string) (*hosttest.Host, *plant) {
	t.Helper()
	t.Parallel() // it waits most of the time
	p := newPlant(t)
	return hosttest.Start(t, manifest+"policies: {watch: {debounce: 20ms}}\n", hosttest.Options{Registry: p.reg}), p
}

// edit changes the manifest and waits for it to be in force.
func edit(t *testing.T, h *hosttest.Host, from, to string) host.Attempt {
	t.Helper()
	h.Edit("easymicro.yaml", from, to)
	r := h.Revision()
	if r.Result != host.ResultApplied {
		t.Fatalf("%q → %q: %s\n%v%s", from, to, r.Result, r.Problems, r.Error)
	}
	return r
}

// get is what a method answers over HTTP: C, or the status.
func get(t *testing.T, h *hosttest.Host, path string) string {
	t.Helper()
	res, body := h.Post(path, `{"A":2,"B":3}`)
	if res.StatusCode != http.StatusOK {
		return fmt.Sprint(res.StatusCode)
	}
	return strings.TrimSuffix(strings.TrimPrefix(body, `{"C":`), "}")
}

func expect(t *testing.T, h *hosttest.Host, path, want string) {
	t.Helper()
	if got := get(t, h, path); got != want {
		t.Errorf("%s: %s, want %s", path, got, want)
	}
}

func TestChangedOptionsGoToTheHandlerThatTakesThem(t *testing.T) {
	h, p := rolled(t, "services: [{name: S, handler: test.tuned, options: {value: 5}}]\n")
	expect(t, h, "/S/Get", "1005")
	edit(t, h, "value: 5", "value: 6")
	expect(t, h, "/S/Get", "1006")
	h.Edit("easymicro.yaml", "value: 6", "value: 7, fail: true")
	if r := h.Revision(); r.Result != host.ResultRejected || !strings.Contains(r.Problems.Error(), "do not suit") ||
		!strings.Contains(r.Problems.Error(), "easymicro.yaml:1:") {
		t.Errorf("%s %v%s", r.Result, r.Problems, r.Error)
	}
	expect(t, h, "/S/Get", "1006")
	if n := p.opened.Load(); n != 1 {
		t.Errorf("%d instances were opened", n)
	}
}

func TestChangedOptionsOpenASecondInstanceAndTheFirstClosesAfterItsLastCall(t *testing.T) {
	h, p := rolled(t, "services: [{name: S, handler: test.fixed, options: {value: 5}}, {name: Other, handler: test.fixed}]\n")
	old := callRPCX(t, h, "S", "Wait")
	p.gate.come(t)
	edit(t, h, "value: 5", "value: 6")
	expect(t, h, "/S/Get", "3006")
	expect(t, h, "/Other/Get", "2001") // unchanged services keep their instance
	select {
	case n := <-p.closed:
		t.Fatalf("instance %d closed with a call in it", n)
	case <-time.After(50 * time.Millisecond):
	}
	p.gate.open()
	if o := receive(t, old, "the call hangs"); o.err != nil {
		t.Errorf("the call in the old instance: %v", o.err)
	}
	if n := receive(t, p.closed, "the old instance stays open"); n != 1 {
		t.Errorf("instance %d closed", n)
	}
}

func TestAHandlerThatDoesNotOpenRejectsTheEdit(t *testing.T) {
	h, p := rolled(t, "services: [{name: S, handler: test.fixed, options: {value: 5}}]\n")
	h.Edit("easymicro.yaml", "options: {value: 5}}", "options: {value: 6}}, {name: N, handler: test.fixed, options: {fail: true}}")
	r := h.Revision()
	if r.Result != host.ResultRejected || !strings.Contains(r.Problems.Error(), "do not suit") {
		t.Errorf("%s %v", r.Result, r.Problems)
	}
	expect(t, h, "/S/Get", "1005")
	if n := receive(t, p.closed, "what was opened for it stays open"); n != 2 {
		t.Errorf("instance %d closed", n)
	}
}

func TestServicesComeAndGo(t *testing.T) {
	h, p := rolled(t, "services: [{name: S, handler: test.fixed}]\n")
	edit(t, h, "services: [", "services: [{name: Arith, handler: test.arith}, ")
	expect(t, h, "/Arith/Mul", "6")
	expect(t, h, "/S/Get", "1001")
	edit(t, h, ", {name: S, handler: test.fixed}", "")
	expect(t, h, "/S/Get", "404")
	if n := receive(t, p.closed, "the instance stays open"); n != 1 {
		t.Errorf("instance %d closed", n)
	}
}

func TestAliasesExposedMethodsAndRoutesAreLive(t *testing.T) {
	h, _ := rolled(t, "services: [{name: Arith, handler: test.arith}]\ngateway: {get: []}\n")
	expect(t, h, "/Rithmetic/Mul", "404")
	edit(t, h, "handler: test.arith", "handler: test.arith, aliases: [Rithmetic]")
	expect(t, h, "/Rithmetic/Mul", "6")
	edit(t, h, "aliases: [Rithmetic]", "methods: {expose: [Mul]}")
	expect(t, h, "/Rithmetic/Mul", "404")
	expect(t, h, "/Arith/Mul", "6")
	expect(t, h, "/Arith/Meta", "404")
	edit(t, h, "get: []", "get: [], routes: [{path: /v1/mul, service: Arith, method: Mul}]")
	expect(t, h, "/v1/mul", "6")
	edit(t, h, "get: []", "get: [Arith.Mul]")
	res, err := http.Get(h.URL + "/Arith/Mul?A=4&B=5")
	must(t, err)
	body, err := io.ReadAll(res.Body)
	must(t, err)
	must(t, res.Body.Close())
	if string(body) != `{"C":20}`+"\n" {
		t.Errorf("%s %s", res.Status, body)
	}
}

func TestLimitsAreLive(t *testing.T) {
	h, _ := rolled(t, "listeners: [{name: main, address: '127.0.0.1:0', limits: {maxMessageBytes: 1KiB}}]\nservices: [{name: Arith, handler: test.arith}]\n")
	big := `{"A":2,"B":3,"Fill":"` + strings.Repeat("x", 2000) + `"}`
	if res, _ := h.Post("/Arith/Mul", big); res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%s, want 413", res.Status)
	}
	call := func() error {
		return h.Dial().Do(t.Context(), &wire.Frame{Service: "Arith", Method: "Mul", Codec: wire.JSON, Payload: []byte(big)}, new(wire.Frame))
	}
	if e := code.From(call()); e == nil || e.Reason != code.ReasonTooLarge {
		t.Errorf("%v, want too_large", e)
	}
	address := h.Address
	edit(t, h, "1KiB", "4KiB")
	if res, _ := h.Post("/Arith/Mul", big); res.StatusCode != http.StatusOK {
		t.Errorf("%s, want 200", res.Status)
	}
	must(t, call())
	if got := h.Addr("main").String(); got != address {
		t.Errorf("it moved from %s to %s", address, got)
	}
}

func TestListenersComeAndGo(t *testing.T) {
	h, _ := rolled(t, "listeners: [{name: main, address: '127.0.0.1:0'}]\nservices: [{name: Arith, handler: test.arith}]\n")
	edit(t, h, "address: '127.0.0.1:0'}]", `address: '127.0.0.1:0'}, {name: second, address: "127.0.0.1:0"}]`)
	second := h.Addr("second").String()
	if second == h.Address {
		t.Fatal("two listeners at one address")
	}
	conn, err := wire.Dial(t.Context(), "tcp", second, wire.ConnOptions{})
	must(t, err)
	defer conn.Close()
	var r reply
	must(t, hosttest.CallJSON(t.Context(), conn, "Arith", "Mul", args{2, 3}, &r))
	edit(t, h, `, {name: second, address: "127.0.0.1:0"}`, "")
	receive(t, conn.Done(), "the connection of the removed listener stays")
	if h.Addr("second") != nil {
		t.Error("it is still listed")
	}
	expect(t, h, "/Arith/Mul", "6")
	eventually(t, "no metrics of the removed listener", func() bool { return !strings.Contains(scrape(t, h), `listener="second"`) })
	edit(t, h, "address: '127.0.0.1:0'}]", `address: '127.0.0.1:0'}, {name: second, address: "127.0.0.1:0"}]`)
}

func TestATakenAddressRejectsTheEditAndNamesIt(t *testing.T) {
	h, _ := rolled(t, "listeners: [{name: main, address: '127.0.0.1:0'}]\nservices: [{name: Arith, handler: test.arith}]\n")
	h.Edit("easymicro.yaml", "address: '127.0.0.1:0'}]", `address: '127.0.0.1:0'}, {name: free, address: "127.0.0.1:0"}, {name: taken, address: "`+h.AdminAddr().String()+`"}]`)
	r := h.Revision()
	if r.Result != host.ResultRejected || len(r.Problems) != 1 || r.Problems[0].Path != "listeners[2].address" {
		t.Errorf("%s %v", r.Result, r.Problems)
	}
	if h.Addr("free") != nil {
		t.Error("half of it was applied")
	}
}

func TestAProtocolChangeOnTheSameAddressLosesNoCall(t *testing.T) {
	h, _ := rolled(t, "listeners: [{name: main, address: '127.0.0.1:0', protocols: [rpcx, http]}]\nservices: [{name: Arith, handler: test.arith}]\n")
	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	var calls atomic.Int64
	failures := make(chan error, 100)
	for range 8 {
		callers.Go(func() {
			for ctx.Err() == nil {
				if err := callAFew(h.Address); err != nil {
					failures <- err
				}
				calls.Add(1)
			}
		})
	}
	from, to := "[rpcx, http]", "[rpcx]"
	for range 10 {
		before := calls.Load()
		edit(t, h, from, to)
		from, to = to, from
		eventually(t, "the callers go on", func() bool { return calls.Load() > before+8 || len(failures) > 0 })
	}
	stop()
	callers.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
}

// callAFew dials and calls, and moves on when it is asked to, as our clients do. A connection on which no call comes for a while may
// end, which is a busy machine here.
func callAFew(address string) error {
	const silence = 50 * time.Millisecond
	last := time.Now()
	conn, err := wire.Dial(context.Background(), "tcp", address, wire.ConnOptions{})
	if err != nil {
		return err
	}
	defer conn.Close()
	for i := 0; i < 5 && !conn.Draining(); i++ {
		var r reply
		sent := time.Now()
		err := hosttest.CallJSON(context.Background(), conn, "Arith", "Mul", args{2, i}, &r)
		silent := time.Since(last) > silence // perhaps until the call was written
		if e := code.From(err); e != nil && (e.Reason == code.ReasonDraining || silent && e.Code == code.Unavailable) {
			return nil
		}
		if err != nil {
			return err
		}
		last = sent // the host has been silent for less
		if r.C != 2*i {
			return fmt.Errorf("2 * %d is %d", i, r.C)
		}
	}
	return nil
}

func TestTheHealthListenerRolls(t *testing.T) {
	h, _ := rolled(t, "host: {shutdown: {drainDelay: 0s}}\nhealth: {address: \"\"}\nservices: [{name: Arith, handler: test.arith}]\n")
	if h.HealthAddr() != nil {
		t.Fatal("it is on")
	}
	edit(t, h, `health: {address: ""}`, `health: {address: "127.0.0.1:0"}`)
	first := h.HealthAddr().String()
	if status := probe(t, first, "/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: %d", status)
	}
	if status := probe(t, first, "/api/v1/status"); status != http.StatusNotFound {
		t.Errorf("status on the health listener: %d", status)
	}
	edit(t, h, `health: {address: "127.0.0.1:0"}`, `health: {address: "localhost:0"}`)
	second := h.HealthAddr().String()
	if status := probe(t, second, "/livez"); status != http.StatusOK {
		t.Errorf("/livez: %d", status)
	}
	eventually(t, "the old one closes", func() bool { return probe(t, first, "/livez") == 0 })
	edit(t, h, `health: {address: "localhost:0"}`, `health: {address: ""}`)
	eventually(t, "it closes", func() bool { return probe(t, second, "/livez") == 0 })
}

// probe returns the status of a GET, 0 without an answer.
func probe(t *testing.T, address, path string) int {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + address + path)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func TestTheMetricsPathIsLive(t *testing.T) {
	h, _ := rolled(t, "telemetry: {metrics: {path: /metrics}}\nservices: [{name: Arith, handler: test.arith}]\n")
	edit(t, h, "path: /metrics", "path: /numbers")
	if status := probe(t, h.AdminAddr().String(), "/numbers"); status != http.StatusOK {
		t.Errorf("/numbers: %d", status)
	}
	if status := probe(t, h.AdminAddr().String(), "/metrics"); status != http.StatusNotFound {
		t.Errorf("/metrics: %d", status)
	}
}

func TestWhatOnlyAStartChangesWaitsAndHoldsNothingUp(t *testing.T) {
	h, _ := rolled(t, "host: {name: first}\nadmin: {pprof: false}\nservices: [{name: Arith, handler: test.arith}]\n")
	edit(t, h, "host: {name: first}", "host: {name: second}")
	edit(t, h, "pprof: false", "pprof: true")
	edit(t, h, "handler: test.arith", "handler: test.arith, aliases: [Also]")
	expect(t, h, "/Also/Mul", "6")
	status, err := h.Admin.Status(t.Context())
	must(t, err)
	if status.Host != "first" || len(status.PendingRestart) != 2 {
		t.Fatalf("host %s, pending %+v", status.Host, status.PendingRestart)
	}
	name, pprof := status.PendingRestart[0], status.PendingRestart[1]
	if name.Field != "host.name" || name.Running != "first" || name.Desired != "second" || name.Position != "easymicro.yaml:1" {
		t.Errorf("%+v", name)
	}
	if pprof.Field != "admin.pprof" || pprof.Position != "easymicro.yaml:2" {
		t.Errorf("%+v", pprof)
	}
	if got := probe(t, h.AdminAddr().String(), "/debug/pprof/"); got != http.StatusNotFound {
		t.Errorf("pprof is served: %d", got)
	}
	edit(t, h, "host: {name: second}", "host: {name: first}")
	edit(t, h, "pprof: true", "pprof: false")
	if status, err = h.Admin.Status(t.Context()); err != nil || len(status.PendingRestart) != 0 {
		t.Errorf("going back leaves %+v, %v", status.PendingRestart, err)
	}
}

func TestAnExpiredRuleStopsWithoutAReload(t *testing.T) {
	t.Parallel()
	until := time.Now().Add(1200 * time.Millisecond)
	p := newPlant(t)
	h := hosttest.Start(t, "services: [{name: Arith, handler: test.arith}]\npolicies: {rules: [{name: shut, match: {service: Arith}, "+
		"access: {deny: [{caller: \"*\"}]}, expires: "+until.UTC().Format(time.RFC3339Nano)+"}]}\n", hosttest.Options{Registry: p.reg})
	if got := get(t, h, "/Arith/Mul"); got != "403" && time.Now().Before(until) {
		t.Errorf("before it expires: %s", got)
	}
	eventually(t, "it expires", func() bool { return get(t, h, "/Arith/Mul") == "6" })
	if time.Now().Before(until) {
		t.Error("it ended too soon")
	}
	rules, err := h.Admin.Rules(t.Context())
	if err != nil || !rules[0].Expired {
		t.Errorf("it is not shown as expired: %+v, %v", rules, err)
	}
}

func scrape(t *testing.T, h *hosttest.Host) string {
	t.Helper()
	res, err := http.Get("http://" + h.AdminAddr().String() + "/metrics")
	must(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	return string(text)
}

// metric returns the value of a series.
func metric(t *testing.T, h *hosttest.Host, series string) float64 {
	t.Helper()
	_, rest, found := strings.Cut(scrape(t, h), "\n"+series+" ")
	if !found {
		t.Fatalf("no %s", series)
	}
	value, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseFloat(value, 64)
	must(t, err)
	return n
}

func TestTheLogLevelIsLive(t *testing.T) {
	logger, control, err := telemetry.NewLogger(io.Discard, telemetry.LogOptions{})
	must(t, err)
	h, err := host.Open(t.Context(), setOf(t, "", oneRule), host.Options{Registry: newPlant(t).reg, Logger: logger, Log: control})
	must(t, err)
	defer h.Close()
	if got := control.Level(); got != slog.LevelInfo {
		t.Errorf("it starts at %s", got)
	}
	_, err = h.Apply(t.Context(), setOf(t, "", oneRule+"telemetry: {logs: {level: debug}}\n"))
	must(t, err)
	if got := control.Level(); got != slog.LevelDebug {
		t.Errorf("it stays at %s", got)
	}
}
