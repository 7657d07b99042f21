package host_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
)

// put puts an override in force for an hour.
func put(t *testing.T, h *hosttest.Host, q admin.OverrideRequest) {
	t.Helper()
	q.For = admin.Seconds(time.Hour)
	_, err := h.Admin.Override(t.Context(), q)
	must(t, err)
}

func dropOverride(t *testing.T, h *hosttest.Host, name string) {
	t.Helper()
	_, err := h.Admin.DropOverride(t.Context(), name)
	must(t, err)
}

var blocked = admin.OverrideRequest{Action: admin.ActionBlock, Method: "Arith.Mul", Caller: "web"}

const blocks = "block.web.Arith.Mul" // the name of blocked

// Overrides make further revisions of one that waits to be confirmed.
func TestWhatIsNotConfirmedIsUndoneUnderOverrides(t *testing.T) {
	t.Parallel()
	h, restart := startOverridable(t, overridable, map[string]string{"a/x.yaml": rulesOf("ax")})
	apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "new")}, RevertAfter: admin.Seconds(2 * time.Second)})
	put(t, h, blocked)
	for r := h.Revision(); r.Source != host.SourceRollback; r = h.Revision() { //nolint:revive // the others come first
	}
	if names := ruleNames(h); !slices.Equal(names, []string{"ax", blocks}) {
		t.Errorf("%q", names)
	}
	apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "new")}, RevertAfter: admin.Seconds(time.Hour)})
	dropOverride(t, h, blocks)
	_, err := h.Admin.Confirm(t.Context())
	must(t, err)
	h = restart()
	if names := ruleNames(h); !slices.Equal(names, []string{"new"}) {
		t.Errorf("%q", names)
	}
}

func TestOverridesSayNothingAboutTheFiles(t *testing.T) {
	h, _ := startOverridable(t, overridable, map[string]string{"a/x.yaml": rulesOf("ax")})
	_, err := h.Admin.Override(t.Context(), admin.OverrideRequest{
		Action: admin.ActionOverride, Rule: "ax", Field: "concurrency.max", Value: "-1", For: admin.Seconds(time.Hour),
	})
	if e := answer(t, err); len(e.Problems) == 0 {
		t.Errorf("%v", e)
	}
	if s := status(t, h).Policies; !s.InSync || s.LastAttempt.Result == host.ResultRejected {
		t.Errorf("after an override that is not valid: %+v", s)
	}
	h.Write("a/x.yaml", "rules: [{")
	awaitThat(t, "a rejected edit", func() bool { return status(t, h).Policies.LastAttempt.Source == host.SourceFile })
	put(t, h, blocked)
	if s := status(t, h).Policies; s.InSync || s.LastAttempt.Result != host.ResultRejected {
		t.Errorf("after an override over files that are not valid: %+v", s)
	}
	h.Write("a/x.yaml", rulesOf("ax"))
	awaitThat(t, "files that are valid again", func() bool { return status(t, h).Policies.InSync })
	dropOverride(t, h, blocks)
	if s := status(t, h).Policies; !s.InSync {
		t.Errorf("after the end: %+v", s)
	}
}

// A file that is valid is not rejected because of an override.
func TestAnOverrideWithWhichAnEditIsNotValidEnds(t *testing.T) {
	h, _ := startOverridable(t, overridable, map[string]string{"a/x.yaml": rulesOf("ax")})
	put(t, h, blocked)
	put(t, h, admin.OverrideRequest{Action: admin.ActionOverride, Rule: "ax", Field: "timeout", Value: "2s"})
	h.Write("a/x.yaml", rulesOf("ax")+"  - {name: time, match: {service: Arith}, timeout: 1s}\n")
	r := h.Revision()
	for r.Source != host.SourceFile {
		r = h.Revision()
	}
	const want = "the override ax.timeout has ended: the files are not valid with it: "
	if r.Result != host.ResultApplied || !strings.Contains(r.Warnings.Error(), want) {
		t.Errorf("%+v", r)
	}
	if list, err := h.Admin.Overrides(t.Context()); err != nil || len(list) != 1 || list[0].Name != blocks {
		t.Errorf("%+v %v", list, err)
	}
	h.Write("a/x.yaml", "rules: [{name: time, match: {service: Arith}, timeout: 0s}]\n")
	if r := h.Revision(); r.Result != host.ResultRejected || strings.Contains(r.Problems.Error(), "override") {
		t.Errorf("%+v", r)
	}
}

func TestALimitDoesNotTakeTheNameOfARule(t *testing.T) {
	h, _ := startOverridable(t, overridable, map[string]string{"a/x.yaml": rulesOf(blocks)})
	q := blocked
	q.For = admin.Seconds(time.Hour)
	_, err := h.Admin.Override(t.Context(), q)
	if e := answer(t, err); e.Status != http.StatusConflict || !strings.Contains(e.Detail, "a/x.yaml:2") {
		t.Errorf("%v", e)
	}
}

func TestARestartUnderAnOverrideKnowsWhyFilesAreHeld(t *testing.T) {
	h, restart := startOverridable(t, overridable, map[string]string{"a/x.yaml": rulesOf("ax")})
	apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "new")}})
	put(t, h, blocked)
	h = restart()
	if s := status(t, h).Policies; s.Held != "the files are now behind: a/x.yaml" || s.InSync {
		t.Errorf("%+v", s)
	}
}

// Clocks are set: the host looks before the end, too.
func TestOverridesEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := registry.New()
		registry.Plain(weather{}, registry.In(reg), registry.As("test.weather"))
		h, err := host.Open(t.Context(), setOf(t, "0", chained(0, "10000")), host.Options{Registry: reg})
		must(t, err)
		defer h.Close()
		q := blocked
		q.For = admin.Seconds(90 * time.Second)
		_, err = host.AdminOf(h).Override(t.Context(), q)
		must(t, err)
		time.Sleep(89 * time.Second)
		synctest.Wait()
		if list, _ := host.AdminOf(h).Overrides(t.Context()); len(list) != 1 {
			t.Errorf("in force: %+v", list)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if list, _ := host.AdminOf(h).Overrides(t.Context()); len(list) != 0 {
			t.Errorf("still in force: %+v", list)
		}
	})
}

// The end of an override does not count against an edit that is being observed.
func TestTheEndOfAnOverrideDoesNotUndoAnEdit(t *testing.T) {
	const other = "  - {name: other, match: {service: Arith}, concurrency: {max: %s}}\n"
	h := edited(t, strings.Replace(guardedManifest, "window: 1s", "window: 1m", 1), map[string]string{policyFile: rule(1) + strings.Replace(other, "%s", "1000", 1)})
	put(t, h, admin.OverrideRequest{Action: admin.ActionOverride, Rule: "arith-mul", Field: "rateLimit", Value: "{rate: 10000, burst: 10000}"})
	f := startFlow(t, h, 1, "Mul")
	awaitThat(t, "traffic", func() bool { return f.ok.Load() > 500 })
	h.Write(policyFile, rule(1)+strings.Replace(other, "%s", "1001", 1))
	awaitThat(t, "the edit", func() bool { return status(t, h).Policies.Observed != nil })
	dropOverride(t, h, "arith-mul.rateLimit")
	awaitThat(t, "refusals", func() bool {
		o := status(t, h).Policies.Observed
		return o == nil || o.Intended > 300
	})
	if s := status(t, h).Policies; s.Observed == nil || s.Running.Revision != 4 {
		t.Errorf("%+v", s)
	}
}

// An override that is put in force in the window of an edit does not let the files come back once the edit is undone.
func TestFilesAreHeldIfTheirEditIsUndoneAfterAnOverride(t *testing.T) {
	h := edited(t, strings.Replace(guardedManifest, "window: 1s", "window: 1m", 1), map[string]string{policyFile: rule(10000)})
	h.Write(policyFile, rule(1))
	awaitThat(t, "the edit", func() bool { return status(t, h).Policies.Observed != nil })
	put(t, h, blocked)
	startFlow(t, h, 1, "Mul")
	for r := h.Revision(); r.Source != host.SourceAutoRollback; r = h.Revision() { //nolint:revive // the others come first
	}
	if s := status(t, h).Policies; s.InSync || !strings.Contains(s.Held, "rolled back: arith-mul") {
		t.Errorf("%+v", s)
	}
	if r, err := h.Host.Reload(t.Context(), host.SourceAdmin, ""); err != nil || r.Result != host.ResultHeld {
		t.Errorf("%s %v", r.Result, err)
	}
}

// The operator cannot do anything about the warnings of the files in an incident.
func TestAnOverrideAnswersWithItsOwnWarnings(t *testing.T) {
	h, _ := startOverridable(t, overridable, map[string]string{"a/x.yaml": rulesOf("ax") + "  - {name: lost, match: {service: Arit}, timeout: 1s}\n"})
	if s := status(t, h); !strings.Contains(s.Warnings.Error(), "Arit") {
		t.Fatalf("%v", s.Warnings)
	}
	q := admin.OverrideRequest{Action: admin.ActionLimit, Method: "Arith.Mul", Rate: "5", For: admin.Seconds(time.Hour)}
	r, err := h.Admin.Override(t.Context(), q)
	must(t, err)
	if len(r.Revision.Warnings) > 0 {
		t.Errorf("%v", r.Revision.Warnings)
	}
	q.Caller, q.Rate = "web", "4"
	if r, err = h.Admin.Override(t.Context(), q); err != nil || len(r.Revision.Warnings) != 1 || !strings.Contains(r.Revision.Warnings.Error(), "matches no call") {
		t.Errorf("%v %v", r, err)
	}
	if s := status(t, h); !strings.Contains(s.Warnings.Error(), "Arit") {
		t.Errorf("status: %v", s.Warnings)
	}
}
