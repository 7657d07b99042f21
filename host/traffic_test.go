package host_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
)

// figures returns the calls, the refused and the failed ones of the last minute, and the codes.
func figures(list []admin.MethodStatus, name string) string {
	i := slices.IndexFunc(list, func(m admin.MethodStatus) bool { return m.Name == name })
	if i < 0 {
		return "none"
	}
	m := list[i].LastMinute
	return fmt.Sprintf("%d calls, %d refused, %d failed %v", m.Calls, m.Refused, m.Failed, m.Codes)
}

func serviceFigures(t *testing.T, h *hosttest.Host, service, method string) string {
	t.Helper()
	s, err := h.Admin.Status(t.Context())
	must(t, err)
	for _, v := range s.Services {
		if v.Name == service {
			return figures(v.Methods, method)
		}
	}
	return "none"
}

func upstreamFigures(t *testing.T, h *hosttest.Host, upstream, method string) string {
	t.Helper()
	s, err := h.Admin.Status(t.Context())
	must(t, err)
	for _, u := range s.Upstreams {
		if u.Name == upstream {
			return figures(u.Methods, method)
		}
	}
	return "none"
}

func TestStatusTellsFailuresFromRefusals(t *testing.T) {
	h := hosttest.Start(t, `
services: [{name: Arith, handler: test.arith}, {name: Crash, handler: test.crash}]
auth: {identify: [token], tokens: {file: tokens.yaml}}
policies:
  rules:
    - {name: few, match: {service: Arith, method: Mul}, rateLimit: {rate: 1, per: 24h, burst: 3}}
    - {name: closed, match: {service: Arith, method: Meta}, access: {deny: [{caller: ["*"]}]}}
    - {name: patience, match: {service: Crash, method: Nap}, timeout: 20ms}
`, hosttest.Options{Registry: newPlant(t).reg, Files: map[string]string{"tokens.yaml": "[]"}})
	conn := h.Dial()
	for range 3 {
		_ = hosttest.CallJSON(t.Context(), conn, "Arith", "Mul", args{1, 2}, new(reply))
		h.Post("/Arith/Mul", "{}")
	}
	h.Post("/Arith/Div", "{}")
	h.Post("/Arith/Div", `{"A":1,"B":1}`, "Authorization", "Bearer nobody")
	h.Post("/Arith/Meta", "{}")
	h.Post("/Arith/Nothing", "{}")
	h.Post("/Crash/Panic", "{}")
	h.Post("/Crash/Goexit", "{}")
	h.Post("/Crash/Nap", "{}")
	for _, tc := range [][3]string{
		{"Arith", "Mul", "6 calls, 3 refused, 0 failed map[OK:3 RESOURCE_EXHAUSTED:3]"},
		{"Arith", "Div", "2 calls, 1 refused, 0 failed map[UNAUTHENTICATED:1 UNKNOWN:1]"},
		{"Arith", "Meta", "1 calls, 1 refused, 0 failed map[PERMISSION_DENIED:1]"},
		{"Arith", "Nothing", "none"},
		{"Crash", "Panic", "1 calls, 0 refused, 1 failed map[INTERNAL:1]"},
		{"Crash", "Goexit", "1 calls, 0 refused, 1 failed map[INTERNAL:1]"},
		{"Crash", "Nap", "1 calls, 1 refused, 0 failed map[DEADLINE_EXCEEDED:1]"},
		{"Crash", "BadError", "0 calls, 0 refused, 0 failed map[]"},
	} {
		if diff := cmp.Diff(tc[2], serviceFigures(t, h, tc[0], tc[1])); diff != "" {
			t.Errorf("%s.%s (-want +got):\n%s", tc[0], tc[1], diff)
		}
	}
}

func TestAnEditKeepsTheCallsOfAMethodUntilItIsRemoved(t *testing.T) {
	h, _ := rolled(t, "services: [{name: Arith, handler: test.arith}, {name: Crash, handler: test.crash}]\n")
	h.Post("/Crash/Panic", "{}")
	edit(t, h, "name: Arith,", "name: Arith, aliases: [A],")
	h.Post("/Crash/Panic", "{}")
	if got := serviceFigures(t, h, "Crash", "Panic"); !strings.HasPrefix(got, "2 calls") {
		t.Error("after an edit: " + got)
	}
	const crash = ", {name: Crash, handler: test.crash}"
	edit(t, h, crash, "")
	eventually(t, "the method is forgotten", func() bool { return !strings.Contains(scrape(t, h), `rpc_method="Crash`) })
	edit(t, h, "test.arith}", "test.arith}"+crash)
	if got := serviceFigures(t, h, "Crash", "Panic"); !strings.HasPrefix(got, "0 calls") {
		t.Error("after it came back: " + got)
	}
}

func TestStatusCountsTheCallsToAnUpstream(t *testing.T) {
	far, _ := startTill(t, 0)
	h := startDesk(t, "rules: [{name: few, match: {upstream: till}, rateLimit: {rate: 1, per: 24h, burst: 3}}]\n", far)
	if got := upstreamFigures(t, h, "till", "Till/Mul"); got != "none" {
		t.Error("before the first call: " + got)
	}
	_, err := mul(t, h, 1, 1)
	must(t, err)
	far.Stop()
	for range 3 {
		_, _ = mul(t, h, 1, 1)
	}
	want := "4 calls, 1 refused, 2 failed map[OK:1 RESOURCE_EXHAUSTED:1 UNAVAILABLE:2]"
	if got := upstreamFigures(t, h, "till", "Till/Mul"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// The host ran the handler each time.
	if got := serviceFigures(t, h, "Desk", "Mul"); !strings.HasPrefix(got, "4 calls, 0 refused, 2 failed") {
		t.Error(got)
	}
}

func TestStatusCountsForwardedCalls(t *testing.T) {
	t.Parallel()
	y := newYard()
	far(t, y, newPlant(t), "")
	gw := standalone(t, y, toAll, hosttest.Options{})
	for range 3 {
		gw.Post("/Arith/Mul", "{}") // before the first answer it may be an invented name
	}
	for i := range 3 {
		gw.Post(fmt.Sprintf("/Arith/Invented%d", i), "{}")
	}
	if got := upstreamFigures(t, gw, "Arith", "Arith/Mul"); got != "2 calls, 0 refused, 0 failed map[OK:2]" {
		t.Error(got)
	}
	if got := upstreamFigures(t, gw, "Arith", "Arith/_OTHER"); got != "4 calls, 0 refused, 0 failed map[OK:1 UNIMPLEMENTED:3]" {
		t.Error(got)
	}
}
