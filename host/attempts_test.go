package host_test

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/state"
)

// Whatever is wrong with a command that should change what runs, it is in the history, on disk and in the audit log.
func TestEveryRejectedCommandIsRecorded(t *testing.T) {
	t.Parallel()
	h, _ := startOverridable(t, overridable, map[string]string{"a/x.yaml": rulesOf("ax"), "b/y.yaml": rulesOf("by")})
	applied := func(q admin.ApplyRequest) func() error {
		return func() error { _, err := h.Admin.Apply(t.Context(), q); return err }
	}
	text := func(path, text string) admin.ApplyRequest {
		return admin.ApplyRequest{Files: []admin.ApplyFile{{Path: path, Text: text}}}
	}
	planned := func(record bool, q admin.ApplyRequest) func() error {
		q.RecordRejection = record
		return func() error { _, err := h.Admin.Plan(t.Context(), q); return err }
	}
	sent := func(path, body string) func() error {
		return func() error {
			once := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			res, err := once.Post("http://"+h.AdminAddr().String()+path, "application/json", strings.NewReader(body))
			if err != nil {
				return err
			}
			if res.StatusCode >= 400 {
				err = fmt.Errorf("status %d", res.StatusCode)
			}
			return errors.Join(err, res.Body.Close())
		}
	}
	for _, tt := range []struct {
		name, source string
		ask          func() error
		want         string // in the reason; empty: it is no attempt
	}{
		{"no YAML", host.SourceApply, applied(text("x.yaml", "rules: [")), "a/x.yaml:2:1: "},
		{"no rule", host.SourceApply, applied(text("x.yaml", "rules: [{nam: x}]")), "unknown key"},
		{"too large", host.SourceApply, applied(text("x.yaml", strings.Repeat("#", config.MaxFileBytes+1))), "is too large"},
		{"another name", host.SourceApply, applied(text(strings.Repeat("n", 1<<20)+".yml", rulesOf("ax"))), "is not the name of a policy file"},
		{"no file", host.SourceApply, applied(admin.ApplyRequest{}), "no files to apply"},
		{"another revision", host.SourceApply, applied(admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "ax")}, IfMatch: "0123"}), "the plan is stale"},
		{"no rule of this name", host.SourceApply, applied(admin.ApplyRequest{Promote: &admin.Promotion{Rule: "az"}}), "no rule is named"},
		{"no JSON", host.SourceApply, sent("/api/v1/apply", "{"), "the body cannot be read"},
		{"a body too large", host.SourceApply, sent("/api/v1/apply", strings.Repeat(" ", admin.MaxRequestBytes+1)), "the body is too large"},
		{"a plan for an apply", host.SourceApply, planned(true, text("x.yaml", "rules: {")), "a/x.yaml:2:1: "},
		{"a plan for an apply that is too wide", host.SourceApply, planned(true, text("x.yaml", rulesOf("ax=2s"))), ""},
		{"a plan", "", planned(false, text("x.yaml", "rules: [[")), ""},
		{"an unknown revision", host.SourceRollback, func() error { _, err := h.Admin.Rollback(t.Context(), admin.RollbackRequest{Revision: 9}); return err }, "r9 is not known"},
		{"what runs", "", func() error { _, err := h.Admin.Rollback(t.Context(), admin.RollbackRequest{Revision: 1}); return err }, ""},
		{"an override of nothing", admin.SourceOverride, func() error {
			_, err := h.Admin.Override(t.Context(), admin.OverrideRequest{Action: admin.ActionOverride, Rule: "az", Field: "timeout", Value: "1s", For: admin.Seconds(time.Minute)})
			return err
		}, "no rule is named"},
	} {
		before, err := h.Admin.Revisions(t.Context())
		must(t, err)
		if err := tt.ask(); err == nil && tt.want != "" {
			t.Errorf("%s: no error", tt.name)
		}
		after, err := h.Admin.Revisions(t.Context())
		must(t, err)
		if tt.want == "" {
			if len(after) != len(before) {
				t.Errorf("%s: recorded: %+v", tt.name, after[0])
			}
			continue
		}
		r := after[0]
		if why := r.Error + r.Problems.Error(); len(after) != len(before)+1 || r.Result != host.ResultRejected || r.Source != tt.source || r.Who != "127.0.0.1" ||
			!strings.Contains(why, tt.want) || len(why) > 3000 {
			t.Errorf("%s: %d attempts after %d, %+v", tt.name, len(after), len(before), r)
		}
	}
	if s := status(t, h).Policies; !s.InSync || s.Running.Revision != 1 || s.LastAttempt.Result != host.ResultApplied {
		t.Errorf("%+v", s)
	}
	h.Write("a/x.yaml", "rules: [")
	for h.Revision().Source != host.SourceFile { //nolint:revive // it skips those above
	}
	list, err := h.Admin.Revisions(t.Context())
	must(t, err)
	h.Stop()
	dir := filepath.Join(h.Dir, "state")
	onDisk := state.Read(dir).History(50)
	entries, err := state.Read(dir).Audit.Entries()
	must(t, err)
	if len(onDisk) != len(list) || list[0].Result != host.ResultRejected || list[0].Source != host.SourceFile {
		t.Errorf("%d attempts, %d on disk, the last %+v", len(list), len(onDisk), list[0])
	}
	for i := range list {
		was := &onDisk[len(onDisk)-1-i]
		if was.Error != list[i].Error || was.Problems.Error() != list[i].Problems.Error() || was.Source != list[i].Source {
			t.Errorf("on disk %+v is %+v", list[i], was)
		}
	}
	if want := len(list) - 2; len(entries) != want { // the start and the file are no commands
		t.Errorf("%d audit entries, want %d", len(entries), want)
	}
	for _, e := range entries {
		if e.Result != host.ResultRejected || e.Error == "" || e.Who == "" {
			t.Errorf("%+v", e)
		}
	}
}

// A flood of bad requests takes neither the history nor the disk.
func TestAFloodOfBadRequestsLeavesTheHistory(t *testing.T) {
	t.Parallel()
	h, restart := startOverridable(t, strings.Replace(overridable, "dir: state", "dir: state, history: 10", 1), map[string]string{"a/x.yaml": rulesOf("ax")})
	for i := range 4 {
		apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "ax", fmt.Sprint("b", i))}})
	}
	bad := func(text string) {
		t.Helper()
		_, err := h.Admin.Apply(t.Context(), admin.ApplyRequest{Files: []admin.ApplyFile{{Path: "x.yaml", Text: text}}})
		answer(t, err)
	}
	for i := range 30 {
		bad(fmt.Sprintf("rules: [{bad%d: 1}]", i))
	}
	for range 30 {
		bad("rules: [{bad: 1}]")
	}
	check := func(when string) {
		t.Helper()
		list, err := h.Admin.Revisions(t.Context())
		must(t, err)
		var rejected, revisions int
		for _, r := range list {
			if r.MadeRevision() {
				revisions++
			} else if r.Result == host.ResultRejected {
				rejected++
			}
		}
		if rejected != 5 || revisions < 5 {
			t.Errorf("%s: %d revisions, %d rejected", when, revisions, rejected)
		}
		for _, r := range list {
			if r.Result == host.ResultRejected {
				if r.Times != 30 || !r.Since.Before(r.At) {
					t.Errorf("%s: %+v", when, r)
				}
				break
			}
		}
	}
	check("before a restart")
	h = restart()
	check("after a restart")
}
