package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/admin"
)

func said(show func(*app)) string {
	var out bytes.Buffer
	show(&app{io: IO{Out: &out, Err: &out}, globals: globals{noColor: true}})
	return out.String()
}

func TestStatusSaysWhatIsWrongWithoutNegatingTwice(t *testing.T) {
	s := &admin.Status{Host: "h", Draining: true, Checks: []admin.Check{
		{Name: "not draining"}, {Name: "service Desk", Detail: "no till"}, {Name: "listeners", OK: true},
	}}
	got := said(func(a *app) { a.statusText(s) })
	for _, want := range []string{"\n  not ready: draining\n", "\n  not ready: service Desk no till\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// What was rejected was rejected for its errors, not for the warnings beside them.
func TestARejectionShowsErrorsOnly(t *testing.T) {
	problems := []admin.Problem{{Message: "is wrong"}, {Message: "is odd", Warning: true}}
	got := said(func(a *app) {
		a.policiesText(&admin.Policies{LastAttempt: admin.Attempt{Result: "rejected", Problems: problems}})
		a.report(a.reloadError(&admin.Error{Code: admin.CodeRejected, Problems: problems}))
	})
	if strings.Count(got, "is wrong") != 2 || strings.Contains(got, "is odd") {
		t.Error(got)
	}
}

func TestARefusalOfNobodyHasADash(t *testing.T) {
	got := said(func(a *app) {
		a.refusalsText([]admin.Refusal{{At: time.Now(), Count: 1, Service: "Desk", Method: "Mul", Peer: "10.0.0.7", Reason: "rate_limited"}})
	})
	if !strings.Contains(got, "Desk.Mul   - 10.0.0.7   rate_limited") {
		t.Error(got)
	}
}
