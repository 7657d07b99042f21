package circuitbreaker_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/samples/circuitbreaker"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// sample is the host of the sample, with an openTimeout short enough for a test.
type sample struct {
	*hosttest.Host
	*testing.T
	conn *wire.Conn
}

func start(t *testing.T, openTimeout string) *sample {
	t.Helper()
	t.Parallel()
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	h.Edit("policies.yaml", "openTimeout: 5s", "openTimeout: "+openTimeout)
	if r := h.Revision(); r.Result != "applied" {
		t.Fatalf("%s %v", r.Result, r.Problems)
	}
	return &sample{Host: h, T: t, conn: h.Dial()}
}

func (s *sample) reserve() *code.Error {
	var level circuitbreaker.Level
	return code.From(hosttest.CallJSON(s.Context(), s.conn, "Stock", "Reserve", circuitbreaker.Item{Name: "tea"}, &level))
}

func (s *sample) warehouse(down bool) {
	s.Helper()
	var now circuitbreaker.Warehouse
	if err := hosttest.CallJSON(s.Context(), s.conn, "Stock", "Warehouse", circuitbreaker.Warehouse{Down: down}, &now); err != nil {
		s.Fatal(err)
	}
}

// open makes five calls fail.
func (s *sample) open() {
	s.Helper()
	s.warehouse(true)
	for range 5 {
		if e := s.reserve(); e == nil || e.Code != code.Unavailable || e.Own() || e.Rule != "" {
			s.Fatalf("%+v, want the handler's own error", e)
		}
	}
}

// refused returns the refusal of the open breaker.
func (s *sample) refused() *code.Error {
	s.Helper()
	e := s.reserve()
	if e == nil || e.Reason != code.ReasonBreakerOpen {
		s.Fatalf("%+v, want a refusal", e)
	}
	return e
}

func (s *sample) wantState(want string) policies.BreakerStats {
	s.Helper()
	status, err := s.Admin.Status(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	if len(status.Breakers) != 1 || status.Breakers[0].State != want || status.Breakers[0].Target != "Stock/Reserve" {
		s.Fatalf("%+v, want one that is %s", status.Breakers, want)
	}
	return status.Breakers[0]
}

func TestItOpensProbesAndCloses(t *testing.T) {
	s := start(t, "2s")
	s.wantState("closed")
	s.open()
	e := s.refused()
	if e.Code != code.Unavailable || e.Rule != "stock-breaker@r2" || e.RetryAfter <= 0 || e.RetryAfter > 2200*time.Millisecond {
		t.Errorf("%+v", e)
	}
	if b := s.wantState("open"); b.Cause == "" || b.Since.IsZero() {
		t.Errorf("status does not say why and since when: %+v", b)
	}
	s.warehouse(false)
	<-time.After(e.RetryAfter) // as the refusal suggests
	if e := s.reserve(); e != nil {
		t.Fatalf("the first probe: %v", e)
	}
	s.wantState("half_open")
	if e := s.reserve(); e != nil {
		t.Fatalf("the second probe: %v", e)
	}
	s.wantState("closed")
}

func TestAFailedProbeOpensAgain(t *testing.T) {
	s := start(t, "2s")
	s.open()
	<-time.After(s.refused().RetryAfter)
	if e := s.reserve(); e == nil || e.Reason == code.ReasonBreakerOpen {
		t.Fatalf("%+v, want the probe to reach the warehouse", e)
	}
	s.refused()
	s.wantState("open")
}

func TestExplainShowsTheState(t *testing.T) {
	s := start(t, "1m")
	s.open()
	x, err := s.Admin.Explain(t.Context(), admin.ExplainQuery{Service: "Stock", Method: "Reserve"})
	if err != nil {
		t.Fatal(err)
	}
	if len(x.Kinds) != 1 || len(x.Kinds[0].Applies) != 1 {
		t.Fatalf("%+v", x)
	}
	r := x.Kinds[0].Applies[0]
	if r.Rule != "stock-breaker" || r.Position != "policies.yaml:6" || !strings.HasPrefix(r.State, "open") {
		t.Errorf("%+v", r)
	}
}

func TestAnEditOfAThresholdKeepsItOpen(t *testing.T) {
	s := start(t, "1m")
	s.open()
	since := s.wantState("open").Since
	s.Edit("policies.yaml", "failureRate: 50%", "failureRate: 90%")
	if r := s.Revision(); r.Changes.String() != "stock-breaker: circuitBreaker.failureRate 50% → 90% (policies.yaml:6)" {
		t.Fatalf("%s %s %v", r.Result, r.Changes, r.Problems)
	}
	if b := s.wantState("open"); !b.Since.Equal(since) {
		t.Errorf("open since %s, was open since %s", b.Since, since)
	}
	if e := s.refused(); e.Rule != "stock-breaker@r3" {
		t.Errorf("%+v", e)
	}
}

func TestOverHTTPItIs503(t *testing.T) {
	s := start(t, "1m")
	s.open()
	res, body := s.Post("/Stock/Reserve", `{"name":"tea"}`)
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !strings.Contains(body, `"breaker_open"`) {
		t.Errorf("%s, retry after %q: %s", res.Status, res.Header.Get("Retry-After"), body)
	}
}
