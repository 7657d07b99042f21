package host_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/policies"
)

const lookingOn = `rules:
  - {name: look, match: {service: Arith, method: Mul}, mode: shadow, rateLimit: {rate: 1, per: 24h, burst: 1}}
  - {name: all, match: {service: Arith, method: Mul}, enforceShare: 0%, access: {deny: [{caller: anonymous}]}}
  - {name: enforced, match: {service: Arith}, timeout: 9s}
`

func shadowRow(t *testing.T, h *hosttest.Host, rule string) admin.ShadowRule {
	t.Helper()
	s, err := h.Admin.Shadow(t.Context())
	must(t, err)
	for _, r := range s.Rules {
		if r.Rule == rule {
			return r
		}
	}
	t.Fatalf("no %s in %+v", rule, s)
	return admin.ShadowRule{}
}

func TestShadowCountsWhatRulesWouldRefuse(t *testing.T) {
	t.Parallel()
	h, _ := startOverridable(t, overridable, map[string]string{"a/x.yaml": lookingOn})
	for range 5 {
		h.Post("/Arith/Mul", `{"a":2,"b":3}`)
	}
	if r := shadowRow(t, h, "look"); r.Calls != 5 || r.WouldRefuse != 4 || r.Share != 0.8 || r.Method != "Arith/Mul" || r.Position != "a/x.yaml:2" ||
		len(r.Callers) != 1 || r.Callers[0] != (admin.ShadowCaller{Caller: policies.Anonymous, WouldRefuse: 4, Share: 0.8}) || r.Others != 0 {
		t.Errorf("%+v", r)
	}
	if r := shadowRow(t, h, "all"); r.Calls != 5 || r.WouldRefuse != 5 || r.Refused != 0 || r.EnforceShare != "0%" || r.Kind != config.KindAccess {
		t.Errorf("%+v", r)
	}
	put(t, h, blocked) // another revision
	if r := shadowRow(t, h, "look"); r.Calls != 5 || r.Revision != 1 {
		t.Errorf("%+v", r)
	}
	h.Write("a/x.yaml", strings.Replace(lookingOn, "rate: 1,", "rate: 2,", 1))
	for r := h.Revision(); r.Source != host.SourceFile; r = h.Revision() { //nolint:revive // the override comes first
	}
	if r := shadowRow(t, h, "look"); r.Calls != 0 || r.Revision != 3 || len(r.Callers) != 0 {
		t.Errorf("%+v", r)
	}
	h.Write("a/x.yaml", rulesOf("ax"))
	_ = h.Revision()
	if s, err := h.Admin.Shadow(t.Context()); err != nil || len(s.Rules) != 0 {
		t.Errorf("%+v %v", s, err)
	}
}

// Callers may be very many: those with most calls are kept.
func TestShadowIsBounded(t *testing.T) {
	h, _ := startOverridable(t, overridable, map[string]string{"a/x.yaml": lookingOn})
	mul := policies.Target{Service: "Arith", Method: "Mul"}
	for range 5 {
		h.Post("/Arith/Mul", `{"a":2,"b":3}`)
	}
	for i := range 50_000 {
		host.CountShadow(h.Host, "look@r1", config.KindRateLimit, mul, fmt.Sprint("caller-", i))
		if i%100 == 0 {
			host.CountShadow(h.Host, "look@r1", config.KindRateLimit, mul, "busy")
		}
	}
	host.CountShadow(h.Host, "gone@r1", config.KindRateLimit, mul, "busy")
	if n, most := host.ShadowCallers(h.Host); n > most {
		t.Errorf("%d callers", n)
	}
	if r := shadowRow(t, h, "look"); r.Callers[0].Caller != "busy" || r.Callers[0].WouldRefuse != 500 || len(r.Callers) != 10 {
		t.Errorf("%+v", r)
	}
}
