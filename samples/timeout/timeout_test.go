package timeout_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/samples/timeout"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

const deadline = 200 * time.Millisecond // policies.yaml

// A busy machine may stall for seconds: what must not end before its deadline takes much longer.
const (
	long  = "3s" // of reports that a test awaits
	never = "1h" // of reports that are abandoned
)

// start runs the sample with reports that take this long.
func start(t *testing.T, takes string) *hosttest.Host {
	t.Helper()
	t.Parallel()
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	h.Edit("easymicro.yaml", "takes: 1s", "takes: "+takes)
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Fatalf("%s %v", r.Result, r.Problems)
	}
	return h
}

func call(t *testing.T, c *wire.Conn, method string) (timeout.Count, error) {
	t.Helper()
	var got timeout.Count
	err := hosttest.CallJSON(t.Context(), c, "Reports", method, timeout.None{}, &got)
	return got, err
}

func TestTheCallerIsAnsweredAtTheDeadline(t *testing.T) {
	c := start(t, long).Dial()
	begin := time.Now()
	_, err := call(t, c, "Make")
	took := time.Since(begin)
	e := code.From(err)
	if e == nil || e.Code != code.DeadlineExceeded || e.Reason != code.ReasonTimeout || e.Rule != "patience@r2" {
		t.Fatalf("%+v", e)
	}
	if took < deadline {
		t.Errorf("answered after %s, before the deadline", took)
	}
	if got, err := call(t, c, "Count"); err != nil || got != (timeout.Count{Running: 1}) {
		t.Errorf("right after the answer: %+v, %v", got, err)
	}
	if got, err := call(t, c, "Wait"); err != nil || got != (timeout.Count{Finished: 1}) {
		t.Errorf("in the end: %+v, %v", got, err)
	}
}

func TestAHandlerThatChecksItsContextStops(t *testing.T) {
	c := start(t, never).Dial()
	if _, err := call(t, c, "Try"); code.Of(err) != code.DeadlineExceeded {
		t.Fatal(err)
	}
	if got, err := call(t, c, "Wait"); err != nil || got != (timeout.Count{GivenUp: 1}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestOverHTTPItIs504(t *testing.T) {
	res, body := start(t, never).Post("/Reports/Try", `{}`)
	var p struct{ Reason, Rule string }
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusGatewayTimeout || p.Reason != code.ReasonTimeout || p.Rule != "patience@r2" {
		t.Errorf("%s %s", res.Status, body)
	}
}

// A caller may send a shorter timeout than the rule's. No rule is named then.
func TestTheCallersOwnDeadlineCounts(t *testing.T) {
	c := start(t, never).Dial()
	req := wire.Frame{
		Service: "Reports", Method: "Try", Codec: wire.JSON, Payload: []byte(`{}`), Metadata: wire.Metadata{{wire.MetaTimeout, "50"}},
	}
	e := code.From(c.Do(t.Context(), &req, new(wire.Frame)))
	if e == nil || e.Code != code.DeadlineExceeded || e.Reason != code.ReasonTimeout || e.Rule != "" {
		t.Errorf("%+v", e)
	}
	if got, err := call(t, c, "Wait"); err != nil || got != (timeout.Count{GivenUp: 1}) {
		t.Errorf("%+v, %v", got, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := hosttest.CallJSON(ctx, c, "Reports", "Try", timeout.None{}, new(timeout.Count))
	if e := code.From(err); e == nil || e.Code != code.DeadlineExceeded || e.Rule != "" {
		t.Errorf("with a context: %+v", e)
	}
}

func TestALongerTimeoutLetsTheReportThrough(t *testing.T) {
	h := start(t, "300ms")
	h.Edit("policies.yaml", "timeout: 200ms", "timeout: 1m")
	if r := h.Revision(); r.Changes.String() != "patience: timeout 200ms → 1m (policies.yaml:6)" {
		t.Fatalf("%s: %s %v", r.Result, r.Changes, r.Problems)
	}
	if got, err := call(t, h.Dial(), "Make"); err != nil || got.Finished != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}
