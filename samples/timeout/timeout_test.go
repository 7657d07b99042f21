package timeout_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/samples/timeout"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// Far apart, so that a busy machine does not mix them up.
const (
	deadline = 200 * time.Millisecond // policies.yaml
	report   = time.Second            // easymicro.yaml
)

func call(t *testing.T, c *wire.Conn, method string) (timeout.Count, error) {
	t.Helper()
	var got timeout.Count
	err := hosttest.CallJSON(t.Context(), c, "Reports", method, timeout.None{}, &got)
	return got, err
}

func TestTheAnswerGoesOutAtTheDeadlineAndTheHandlerGoesOn(t *testing.T) {
	t.Parallel()
	c := hosttest.StartCopy(t, ".", hosttest.Options{}).Dial()
	start := time.Now()
	_, err := call(t, c, "Make")
	took := time.Since(start)
	e := code.From(err)
	if e == nil || e.Code != code.DeadlineExceeded || e.Reason != code.ReasonTimeout || e.Rule != "patience@r1" {
		t.Fatalf("%+v", e)
	}
	if took < deadline || took >= report {
		t.Errorf("answered after %s, want %s", took, deadline)
	}
	if got, err := call(t, c, "Count"); err != nil || got != (timeout.Count{Running: 1}) {
		t.Errorf("right after the answer: %+v, %v", got, err)
	}
	if got, err := call(t, c, "Wait"); err != nil || got != (timeout.Count{Finished: 1}) {
		t.Errorf("in the end: %+v, %v", got, err)
	}
}

func TestAHandlerThatLooksAtItsContextStopsAtTheDeadline(t *testing.T) {
	t.Parallel()
	c := hosttest.StartCopy(t, ".", hosttest.Options{}).Dial()
	start := time.Now()
	if _, err := call(t, c, "Try"); code.Of(err) != code.DeadlineExceeded {
		t.Fatal(err)
	}
	got, err := call(t, c, "Wait")
	if err != nil || got != (timeout.Count{GivenUp: 1}) || time.Since(start) >= report {
		t.Errorf("after %s: %+v, %v", time.Since(start), got, err)
	}
}

func TestOverHTTPItIs504(t *testing.T) {
	t.Parallel()
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	res, body := h.Post("/Reports/Try", `{}`)
	var p struct{ Reason, Rule string }
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 504 || p.Reason != code.ReasonTimeout || p.Rule != "patience@r1" {
		t.Errorf("%s %s", res.Status, body)
	}
}

// A caller that waits less than the rule allows says so with its request. No rule has a part in that.
func TestTheCallersOwnDeadlineCounts(t *testing.T) {
	t.Parallel()
	c := hosttest.StartCopy(t, ".", hosttest.Options{}).Dial()
	req := wire.Frame{
		Service: "Reports", Method: "Try", Codec: wire.JSON, Payload: []byte(`{}`), Metadata: wire.Metadata{{wire.MetaTimeout, "50"}},
	}
	start := time.Now()
	e := code.From(c.Do(t.Context(), &req, new(wire.Frame)))
	if e == nil || e.Code != code.DeadlineExceeded || e.Reason != code.ReasonTimeout || e.Rule != "" || time.Since(start) >= report {
		t.Errorf("after %s: %+v", time.Since(start), e)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := hosttest.CallJSON(ctx, c, "Reports", "Try", timeout.None{}, new(timeout.Count))
	if e := code.From(err); e == nil || e.Code != code.DeadlineExceeded || e.Rule != "" {
		t.Errorf("with a context: %+v", e)
	}
	if got, err := call(t, c, "Wait"); err != nil || got != (timeout.Count{GivenUp: 2}) || time.Since(start) >= report {
		t.Errorf("after %s: %+v, %v", time.Since(start), got, err)
	}
}

func TestALongerTimeoutLetsTheReportThrough(t *testing.T) {
	t.Parallel()
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	h.Edit("policies.yaml", "timeout: 200ms", "timeout: 10s")
	if r := h.Revision(); r.Changes.String() != "patience: timeout 200ms → 10s (policies.yaml:6)" {
		t.Fatalf("%s: %s %v", r.Result, r.Changes, r.Problems)
	}
	if got, err := call(t, h.Dial(), "Make"); err != nil || got.Finished != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}
