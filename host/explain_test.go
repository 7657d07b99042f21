package host_test

import (
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
)

func TestExplainShowsARuleAsItWasInARevision(t *testing.T) {
	h := hosttest.Start(t, `
services: [{name: Mirror, handler: test.mirror}]
policies: {files: [policies.yaml]}
`, hosttest.Options{Registry: mirrors(), Files: map[string]string{
		"policies.yaml": "rules:\n  - {name: quota, match: {service: Mirror}, rateLimit: {rate: 500}}\n",
	}})
	h.Write("policies.yaml", "rules:\n  - {name: quota, match: {service: Mirror}, rateLimit: {rate: 5}}\n")
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Fatalf("%+v", r)
	}
	x, err := h.Admin.ExplainRule(t.Context(), "quota", 1)
	if err != nil {
		t.Fatal(err)
	}
	if x.Status != "changed in r2" || len(x.Rule.Kinds) != 1 || !strings.HasPrefix(x.Rule.Kinds[0].Setting, "500 per 1s") {
		t.Errorf("%+v", x)
	}
}
