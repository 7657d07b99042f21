package host_test

import (
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
)

const webOnlyFile = "rules:\n  - {name: only-web, match: {service: Arith, method: Mul}, access: {allow: [{caller: web}]}}\n" +
	"  - {name: spare, match: {service: Arith}, timeout: 1s}\n  - {name: other, match: {service: Arith}, rateLimit: {rate: 1000}}\n"

func TestAnEditThatLetsMoreCallersInIsToldOrRefused(t *testing.T) {
	t.Parallel()
	const manifest = editedManifest + "  widening: warn\n"
	h := edited(t, manifest, map[string]string{policyFile: webOnlyFile})
	h.Edit(policyFile, "{name: only-web,", "{name: only-web, mode: shadow,")
	const want = "wider: anonymous may now call Arith.Mul (only-web: mode enforce → shadow)"
	r := h.Revision()
	if r.Result != host.ResultApplied || !strings.Contains(r.Warnings.Error(), policyFile+":2:28: "+want) {
		t.Errorf("%s, warnings %v", r.Result, r.Warnings)
	}
	if s, err := h.Admin.Status(t.Context()); err != nil || !strings.Contains(s.Warnings.Error(), want) {
		t.Errorf("status warns of %v, %v", s.Warnings, err)
	}
	h.Edit(policyFile, "mode: shadow, ", "")
	h.Revision()
	h.Edit("easymicro.yaml", "widening: warn", "widening: refuse")
	h.Revision()
	h.Edit(policyFile, "{caller: web}", "{caller: [web, anonymous]}")
	if r := h.Revision(); r.Result != host.ResultRejected || !strings.Contains(r.Problems.Error(), "widen: ok in rule only-web") {
		t.Errorf("%s %v", r.Result, r.Problems)
	}
	h.Edit(policyFile, "{name: only-web,", "{name: only-web, widen: ok,")
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Errorf("%s %v", r.Result, r.Problems)
	}
}

func TestARuleToKeepStays(t *testing.T) {
	t.Parallel()
	h := edited(t, editedManifest+"  keep: [only-web]\n", map[string]string{policyFile: webOnlyFile})
	h.Edit(policyFile, "service: Arith, method: Mul", "service: Arith, method: Mull")
	if r := h.Revision(); r.Result != host.ResultRejected || !strings.Contains(r.Problems.Error(), "no method of this host matches (Arith, Mull)") {
		t.Errorf("%s %v", r.Result, r.Problems)
	}
}

func TestDiffShowsTheFilesAgainstWhatRuns(t *testing.T) {
	t.Parallel()
	const manifest = "services: [{name: Arith, handler: test.arith}]\npolicies: {files: [policies.d/*.yaml], watch: {debounce: 50s, maxDelay: 50s, poll: 1h}}\n"
	h := edited(t, manifest, map[string]string{policyFile: webOnlyFile})
	if d, err := h.Admin.Diff(t.Context()); err != nil || len(d.Changes) > 0 || d.Hash != d.Desired {
		t.Errorf("%+v, %v", d, err)
	}
	h.Edit(policyFile, "rate: 1000", "rate: 900, burst: 1000")
	h.Edit(policyFile, "{name: only-web,", "{name: only-web, mode: off,")
	d, err := h.Admin.Diff(t.Context())
	if err != nil || len(d.Changes) != 2 || d.Changes[0].Effect != config.Wider || d.Changes[1].Effect != config.Tighter || d.Revision != 1 ||
		!strings.Contains(d.Problems.Error(), "wider: anonymous may now call Arith.Mul") {
		t.Errorf("%+v, %v", d, err)
	}
	h.Edit(policyFile, "rate: 900", "raet: 900")
	if _, err := h.Admin.Diff(t.Context()); err == nil || !strings.Contains(err.Error(), "problems") {
		t.Errorf("%v", err)
	}
}
