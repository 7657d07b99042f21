package host_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
)

// failing returns the checks of readiness that fail.
func failing(t *testing.T, h *hosttest.Host) []string {
	t.Helper()
	r, err := h.Admin.Ready(t.Context())
	must(t, err)
	var names []string
	for _, c := range r.Checks {
		if !c.OK {
			names = append(names, c.Name)
		}
	}
	if r.Ready != (len(names) == 0) {
		t.Errorf("%+v", r)
	}
	return names
}

func TestADrainedHostIsNotReadyAndServes(t *testing.T) {
	t.Parallel()
	h := hosttest.Start(t, "services: [{name: Arith, handler: test.arith}]\npolicies: {rules: [{name: a, match: {service: Arith}, timeout: 1s}]}\n",
		hosttest.Options{Registry: newPlant(t).reg})
	conn := h.Dial()
	serves := func() {
		t.Helper()
		var r reply
		must(t, hosttest.CallJSON(t.Context(), conn, "Arith", "Mul", args{2, 3}, &r))
		if res, _ := h.Post("/Arith/Mul", `{"A":2,"B":3}`); res.StatusCode != http.StatusOK || res.Close || conn.Draining() {
			t.Errorf("HTTP %d, closes: %v, draining: %v", res.StatusCode, res.Close, conn.Draining())
		}
	}
	for _, changed := range []bool{true, false} {
		s, err := h.Admin.Drain(t.Context())
		must(t, err)
		if s.Changed != changed || s.Drained == nil || s.Drained.Who != "127.0.0.1" || s.Drained.Since.IsZero() {
			t.Errorf("%+v", s)
		}
		if names := failing(t, h); !slices.Equal(names, []string{"not drained by command"}) {
			t.Error(names)
		}
		serves()
	}
	h.Edit("easymicro.yaml", "timeout: 1s", "timeout: 2s")
	if r := h.Revision(); r.Result != admin.ResultApplied {
		t.Errorf("an edit of a drained host: %+v", r)
	}
	status, err := h.Admin.Status(t.Context())
	must(t, err)
	if status.Ready || status.Draining || status.Drained == nil {
		t.Errorf("%+v", status)
	}
	for _, changed := range []bool{true, false} {
		s, err := h.Admin.Undrain(t.Context())
		must(t, err)
		if names := failing(t, h); s.Changed != changed || s.Drained != nil || names != nil {
			t.Errorf("%+v %v", s, names)
		}
		serves()
	}
}

func TestAHostThatEndsCanNeitherBeDrainedNorUndrained(t *testing.T) {
	h, p := drained(t, "gracePeriod: 10s")
	answer := callRPCX(t, h, "Gate", "Wait")
	p.gate.come(t)
	_, err := h.Admin.Drain(t.Context())
	must(t, err)
	h.Drain()
	eventually(t, "it drains", func() bool { return slices.Contains(failing(t, h), "not draining") })
	for name, ask := range map[string]func() error{
		"drain":   func() error { _, err := h.Admin.Drain(t.Context()); return err },
		"undrain": func() error { _, err := h.Admin.Undrain(t.Context()); return err },
	} {
		var e *admin.Error
		if err := ask(); !errors.As(err, &e) || e.Code != admin.CodeUnavailable || !strings.Contains(e.Detail, "draining") {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.gate.open()
	if o := receive(t, answer, "the call has no answer"); o.err != nil {
		t.Error(o.err)
	}
}
