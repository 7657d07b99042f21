package host_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	from "github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/host/state"
)

const remembering = `
host: {state: {dir: state}}
services: [{name: Arith, handler: test.arith}]
policies: {files: [p.yaml], fallback: [baked.yaml], onBadStart: lastGood, autoRollback: off}
`

const (
	ruleA = "rules: [{name: a, match: {service: Arith}, timeout: 1s}]\n"
	ruleB = "rules: [{name: b, match: {service: Arith}, timeout: 2s}]\n"
	ruleC = "rules: [{name: c, match: {service: Arith}, timeout: 3s}]\n"
	noYML = "rules: [{name: a\n"
)

// remembered starts a host with state on disk.
func remembered(t *testing.T) (h *hosttest.Host, p *plant, restart func() *hosttest.Host) {
	p = newPlant(t)
	o := hosttest.Options{Registry: p.reg}
	o.Files = map[string]string{"p.yaml": ruleA, "baked.yaml": ruleC}
	h = hosttest.Start(t, remembering, o)
	return h, p, func() *hosttest.Host {
		h.Stop()
		return hosttest.StartFile(t, filepath.Join(h.Dir, "easymicro.yaml"), o)
	}
}

// markGood marks revisions of a host that is stopped, as if each had been in force for long enough.
func markGood(t *testing.T, dir string, revisions ...int) {
	t.Helper()
	markGoodIn(t, filepath.Join(dir, "state"), revisions...)
}

// markGoodIn is markGood for a state directory.
func markGoodIn(t *testing.T, dir string, revisions ...int) {
	t.Helper()
	s, err := state.Open(dir, "test")
	must(t, err)
	s.History(1000)
	for _, n := range revisions {
		must(t, s.MarkGood(n, admin.VerdictKept, time.Now()))
	}
	must(t, s.Close())
}

func status(t *testing.T, h *hosttest.Host) *admin.Status {
	t.Helper()
	s, err := h.Admin.Status(t.Context())
	must(t, err)
	return s
}

func ruleNames(h *hosttest.Host) (names []string) {
	for _, r := range h.Set().Rules {
		names = append(names, r.Name)
	}
	return names
}

func TestTheHistoryGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	h, _, restart := remembered(t)
	h.Write("p.yaml", ruleB)
	h.Revision()
	h.Write("p.yaml", noYML)
	h.Revision()
	h.Write("p.yaml", ruleB)
	h.Revision() // unchanged: no new revision
	h = restart()
	list, err := h.Admin.Revisions(t.Context())
	must(t, err)
	var got []string
	for _, r := range list {
		got = append(got, r.Source+" "+r.Result)
	}
	if want := []string{"start applied", "file rejected", "file applied", "start applied"}; !slices.Equal(got, want) || list[0].Number != 3 {
		t.Errorf("%q, the last is r%d", got, list[0].Number)
	}
	if c := list[2].Changes.Lines(); len(c) == 0 || len(list[1].Problems) == 0 {
		t.Errorf("changes %q, problems %v", c, list[1].Problems)
	}
	files, err := h.Admin.RevisionFiles(t.Context(), 1)
	must(t, err)
	if len(files) != 2 || files[0].Text != remembering || files[1].Text != ruleA || files[1].Path != "p.yaml" {
		t.Errorf("%+v", files)
	}
	if s := status(t, h); s.Policies.Running.Revision != 3 || !s.Policies.InSync {
		t.Errorf("%+v", s.Policies)
	}
}

func TestAHostStartsFromTheLastGoodSetWhenItsFilesAreBad(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, text string }{
		"syntax of a policy file": {"p.yaml", noYML},
		"empty policy file":       {"p.yaml", ""},
		"syntax of the manifest":  {"easymicro.yaml", strings.Replace(remembering, "files: [p.yaml]", "files: [p.yaml", 1)},
		"cut manifest":            {"easymicro.yaml", remembering[:len(remembering)-40]},
		"unknown key":             {"easymicro.yaml", remembering + "unknown: 1\n"},
		"unknown handler":         {"easymicro.yaml", strings.Replace(remembering, "test.arith", "test.none", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			h, _, restart := remembered(t)
			h.Write("p.yaml", ruleB)
			h.Revision()
			h.Stop()
			markGood(t, h.Dir, 1, 2)
			whole, err := os.ReadFile(filepath.Join(h.Dir, c.file))
			must(t, err)
			h.Write(c.file, c.text)
			h = restart()
			s := status(t, h)
			p := s.Policies
			if p.InSync || p.Fallback == nil || p.Fallback.What != "last good set (r2)" || p.Running.Hash == p.Desired.Hash || !s.Ready {
				t.Errorf("ready %t %+v %+v", s.Ready, p, p.Fallback)
			}
			if got := ruleNames(h); !slices.Equal(got, []string{"b"}) {
				t.Errorf("rules %q", got)
			}
			if !slices.Equal(p.Fallback.Mend, []string{c.file}) {
				t.Errorf("mend %q", p.Fallback.Mend)
			}
			h.Write(c.file, string(whole))
			if r := lastApplied(h); r.Result != admin.ResultApplied {
				t.Errorf("the files are good again: %+v", r)
			}
			if p := status(t, h).Policies; !p.InSync || p.Fallback != nil {
				t.Errorf("%+v", p)
			}
		})
	}
}

// lastApplied waits for the next attempt after the start that is applied.
func lastApplied(h *hosttest.Host) host.Attempt {
	for {
		if r := h.Revision(); r.Result == admin.ResultApplied && r.Source != admin.SourceStart {
			return r
		}
	}
}

func TestFallbackIsTriedWhenNothingIsGood(t *testing.T) {
	t.Parallel()
	h, _, restart := remembered(t)
	h.Write("p.yaml", noYML)
	h.Revision()
	h = restart()
	if got := ruleNames(h); !slices.Equal(got, []string{"c"}) {
		t.Errorf("rules %q", got)
	}
	if p := status(t, h).Policies; p.InSync || p.Fallback == nil || p.Fallback.What != "fallback" {
		t.Errorf("%+v", p)
	}
}

func TestWithoutLastGoodBadFilesAreAnError(t *testing.T) {
	h, _, _ := remembered(t)
	h.Stop()
	h.Write("p.yaml", noYML)
	must(t, os.Remove(filepath.Join(h.Dir, "baked.yaml")))
	_, _, err := host.LoadFiles(filepath.Join(h.Dir, "easymicro.yaml"), from.Options{})
	if err == nil || !strings.Contains(err.Error(), "p.yaml:1:") || !strings.Contains(err.Error(), "no last good set in state to start from") {
		t.Errorf("%v", err)
	}
	markGood(t, h.Dir, 1)
	h.Write("easymicro.yaml", strings.Replace(remembering, "lastGood", "fail", 1))
	if _, _, err := host.LoadFiles(filepath.Join(h.Dir, "easymicro.yaml"), from.Options{}); err == nil {
		t.Error("started from the last good set, which nobody asked for")
	}
}

// Tokens are not kept with a good set, which therefore needs the same file.
func TestAGoodSetThatCannotBeUsedIsNamed(t *testing.T) {
	const operator = "- {name: ann, role: operate, sha256: 41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb}\n"
	o := hosttest.Options{Registry: newPlant(t).reg, Files: map[string]string{"p.yaml": ruleA, "admins.yaml": operator}}
	h := hosttest.Start(t, strings.Replace(remembering, "fallback: [baked.yaml], ", "", 1)+"admin: {tokens: {file: admins.yaml}}\n", o)
	h.Stop()
	markGood(t, h.Dir, 1)
	h.Write("admins.yaml", "- {name: ann, role: root}\n")
	_, _, err := host.LoadFiles(filepath.Join(h.Dir, "easymicro.yaml"), from.Options{})
	if err == nil || !strings.Contains(err.Error(), "policies.onBadStart: the good set of r1 cannot be used: admins.yaml:1:") {
		t.Errorf("%v", err)
	}
}

func TestARevisionIsGoodOnceItHasBeenInForceForAWhile(t *testing.T) {
	t.Parallel()
	h, _, restart := remembered(t)
	host.GoodAfter(h.Host, time.Millisecond)
	h.Write("p.yaml", ruleB)
	h.Revision()
	eventually(t, "a verdict", func() bool {
		r, err := h.Admin.Revision(t.Context(), 2)
		return err == nil && r.Verdict == admin.VerdictKept
	})
	h.Stop()
	h.Write("p.yaml", noYML)
	h = restart()
	if p := status(t, h).Policies; p.Fallback == nil || p.Fallback.What != "last good set (r2)" {
		t.Errorf("%+v", p.Fallback)
	}
	if r, err := h.Admin.Revision(t.Context(), 2); err != nil || r.Verdict != admin.VerdictKept {
		t.Errorf("%+v %v", r, err)
	}
}

func TestADirectoryThatCannotBeUsedIsAnErrorOfItsField(t *testing.T) {
	h, _, _ := remembered(t)
	path := filepath.Join(h.Dir, "easymicro.yaml")
	opened := func(want string) {
		t.Helper()
		set, files, err := host.LoadFiles(path, from.Options{})
		must(t, err)
		other, err := host.Open(t.Context(), set, host.Options{Registry: newPlant(t).reg, Source: files})
		if err == nil {
			other.Close()
			t.Fatal("opened")
		}
		p, ok := err.(config.Problems) //nolint:errorlint // documented
		if !ok || p[0].Line != 2 || p[0].Path != "host.state.dir" || !strings.Contains(p[0].Message, want) {
			t.Errorf("%v", err)
		}
	}
	opened("is in use by process ")
	h.Stop()
	must(t, os.RemoveAll(filepath.Join(h.Dir, "state")))
	must(t, os.WriteFile(filepath.Join(h.Dir, "state"), nil, 0o600))
	opened("not a directory: choose a directory that this user may write to")
}

func TestAFailedWriteIsAWarningAndTheHostGoesOn(t *testing.T) {
	t.Parallel()
	h, _, _ := remembered(t)
	dir := filepath.Join(h.Dir, "state", "revisions")
	must(t, os.RemoveAll(dir))
	must(t, os.WriteFile(dir, nil, 0o600))
	h.Write("p.yaml", ruleB)
	if r := h.Revision(); r.Result != admin.ResultApplied {
		t.Fatalf("%+v", r)
	}
	warned := func() bool {
		return slices.ContainsFunc(status(t, h).Warnings, func(w config.Problem) bool { return w.Path == "host.state.dir" })
	}
	if !warned() {
		t.Error("no warning in the status")
	}
	if text := metricsOf(t, h); !strings.Contains(text, "easymicro_state_write_failures_total 1\n") {
		t.Error("not counted")
	}
	must(t, os.Remove(dir))
	must(t, os.Mkdir(dir, 0o700))
	h.Write("p.yaml", ruleC)
	h.Revision()
	if warned() {
		t.Error("still a warning")
	}
}

func TestChangesByCommandAreAudited(t *testing.T) {
	h, _, _ := remembered(t)
	_, err := h.Admin.Reload(t.Context(), true)
	must(t, err)
	h.Write("p.yaml", ruleB)
	h.Revision()
	h.Stop()
	entries, err := state.Read(filepath.Join(h.Dir, "state")).Audit.Entries()
	if err != nil || len(entries) != 1 || entries[0].Action != host.SourceAdmin || entries[0].Who != "127.0.0.1" || entries[0].Revision != 2 {
		t.Errorf("%+v %v", entries, err)
	}
}

func metricsOf(t *testing.T, h *hosttest.Host) string {
	t.Helper()
	res, err := http.Get("http://" + h.AdminAddr().String() + "/metrics")
	must(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	return string(text)
}
