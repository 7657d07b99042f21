package host_test

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
)

const overridable = `
host: {state: {dir: state}}
services: [{name: Arith, handler: test.arith}]
policies: {files: [a/*.yaml, b/*.yaml, one.yaml], allowEmpty: true, widening: refuse, autoRollback: off, watch: {debounce: 20ms, poll: 1h}}
`

// rulesOf is a policy file with a rule for each name; name=2s has another queueTimeout.
func rulesOf(names ...string) string {
	var b strings.Builder
	b.WriteString("rules:\n")
	for _, name := range names {
		name, timeout, _ := strings.Cut(name, "=")
		fmt.Fprintf(&b, "  - {name: %s, match: {service: Arith}, concurrency: {max: 9, queue: 1, queueTimeout: %s}}\n", name, cmp.Or(timeout, "1s"))
	}
	return b.String()
}

func startOverridable(t *testing.T, manifest string, files map[string]string) (h *hosttest.Host, restart func() *hosttest.Host) {
	p := newPlant(t)
	o := hosttest.Options{Registry: p.reg, Files: files}
	h = hosttest.Start(t, manifest, o)
	return h, func() *hosttest.Host {
		h.Stop()
		h = hosttest.StartFile(t, filepath.Join(h.Dir, "easymicro.yaml"), o)
		return h
	}
}

func apply(t *testing.T, h *hosttest.Host, q admin.ApplyRequest) *admin.Attempt {
	t.Helper()
	r, err := h.Admin.Apply(t.Context(), q)
	if err != nil {
		t.Fatalf("apply %v: %v", q, err)
	}
	return r
}

func file(path string, rules ...string) admin.ApplyFile {
	return admin.ApplyFile{Path: path, Text: rulesOf(rules...)}
}

// answer returns the error of the admin API.
func answer(t *testing.T, err error) *admin.Error {
	t.Helper()
	e, ok := errors.AsType[*admin.Error](err)
	if !ok {
		t.Fatalf("want an error of the API, got %v", err)
	}
	return e
}

func TestWhereAppliedFilesGo(t *testing.T) {
	files := map[string]string{"a/x.yaml": rulesOf("ax"), "b/x.yaml": rulesOf("bx"), "a/y.yaml": rulesOf("ay"), "one.yaml": rulesOf("one")}
	for _, c := range []struct {
		name  string
		files []admin.ApplyFile
		prune bool
		rules string // in order; empty: it is refused
		fails string
	}{
		{"the only one of its name", []admin.ApplyFile{file("/tmp/y.yaml", "new")}, false, "new ax bx one", ""},
		{"one of several by its path", []admin.ApplyFile{file("b/x.yaml", "new")}, false, "ay ax new one", ""},
		{"two of a name", []admin.ApplyFile{file("x.yaml", "new")}, false, "", "x.yaml is the name of several policy files (name one by its path from the manifest: a/x.yaml, b/x.yaml)"},
		{"a new one, by the first pattern", []admin.ApplyFile{file("z.yaml", "new")}, false, "ay ax bx new one", ""},
		{"one that no pattern matches", []admin.ApplyFile{file("z.yml", "new")}, false, "", "z.yml would not be a policy file of the host"},
		{"a name that editors leave", []admin.ApplyFile{file(".z.yaml", "new")}, false, "", ".z.yaml would not be a policy file of the host"},
		{"a name that controls a terminal", []admin.ApplyFile{file("z\x1b[2J.yaml", "new")}, false, "", `"z\x1b[2J.yaml" is not the name of a policy file`},
		{"a name of two lines", []admin.ApplyFile{file("z\nz.yaml", "new")}, false, "", `"z\nz.yaml" is not the name of a policy file`},
		{"a long name", []admin.ApplyFile{file(strings.Repeat("z", 300)+".yaml", "new")}, false, "", "is not the name of a policy file"},
		{"the manifest", []admin.ApplyFile{file("easymicro.yaml", "new")}, false, "", "easymicro.yaml is the manifest of the host"},
		{"pruned", []admin.ApplyFile{file("y.yaml", "new")}, true, "new", ""},
		{"twice the same", []admin.ApplyFile{file("y.yaml", "new"), file("./a/y.yaml", "new")}, false, "", "y.yaml and ./a/y.yaml are both a/y.yaml of the host"},
		{"none", nil, false, "", "no files to apply"},
		{"too large", []admin.ApplyFile{{Path: "y.yaml", Text: strings.Repeat("#", 2<<20)}}, false, "", "the files were not applied, r1 keeps running"},
		{"empty", []admin.ApplyFile{{Path: "y.yaml"}}, false, "", "the files were not applied, r1 keeps running"},
		{"a rule twice", []admin.ApplyFile{file("y.yaml", "one")}, false, "", "the files were not applied, r1 keeps running"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h, _ := startOverridable(t, overridable, files)
			q := admin.ApplyRequest{Files: c.files, Prune: c.prune}
			_, planErr := h.Admin.Plan(t.Context(), q)
			r, err := h.Admin.Apply(t.Context(), q)
			if c.fails != "" {
				if e := answer(t, err); !strings.Contains(e.Error(), c.fails) || planErr == nil || answer(t, planErr).Detail != e.Detail {
					t.Errorf("%v\nplan %v\nwant %s", e, planErr, c.fails)
				}
				return
			}
			must(t, errors.Join(err, planErr))
			got, want := ruleNames(h), strings.Fields(c.rules)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) || r.Source != host.SourceApply || r.Pinned == "" {
				t.Errorf("rules %q, r%d by %s pinned to %q", got, r.Number, r.Source, r.Pinned)
			}
		})
	}
}

func TestWhatWasAppliedStaysUntilTheFilesChange(t *testing.T) {
	h, restart := startOverridable(t, overridable, map[string]string{"a/x.yaml": rulesOf("ax"), "a/y.yaml": rulesOf("ay")})
	r := apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "ax=2s", "new")}, Message: "ticket 4711"})
	if r.Number != 2 || r.Why != "ticket 4711" || r.Who != "127.0.0.1" || slices.ContainsFunc(r.Warnings, isAboutState) {
		t.Errorf("%+v", r)
	}
	h.Revision()
	again, err := h.Host.Reload(t.Context(), host.SourceAdmin, "")
	if err != nil || again.Result != host.ResultHeld || !strings.Contains(again.Why, "the files are now behind: a/x.yaml. Save") {
		t.Errorf("%s %q, %v", again.Result, again.Why, err)
	}
	if list, err := os.ReadDir(filepath.Join(h.Dir, "state", "revisions")); err != nil || len(list) != 2 {
		t.Errorf("%d attempts on disk, %v: one that changes nothing takes the place of another", len(list), err)
	}
	for range 2 {
		h = restart()
		s := status(t, h).Policies
		if got := ruleNames(h); !slices.Equal(got, []string{"ax", "new", "ay"}) || s.InSync || !strings.Contains(s.Held, "the files are now behind: a/x.yaml") || s.Pinned == "" {
			t.Errorf("after a restart: %q %+v", got, s)
		}
	}
	h.Write("a/y.yaml", rulesOf("ay=3s"))
	edit := h.Revision()
	var told []string
	for _, w := range edit.Warnings {
		told = append(told, w.Message)
	}
	if text := strings.Join(told, "\n"); edit.Result != host.ResultApplied || strings.Count(text, "the files replace what r4 by start put in force: ") != 2 ||
		!strings.Contains(text, "rule new removed") || !strings.Contains(text, "ax: concurrency.queueTimeout 2s → 1s") || strings.Contains(text, "ay") {
		t.Errorf("%s\n%s", edit.Result, text)
	}
	if s := status(t, h).Policies; !s.InSync || s.Held != "" || s.Pinned != "" {
		t.Errorf("%+v", s)
	}
	// The same again, and back by force.
	apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "other")}})
	forced, err := h.Admin.Reload(t.Context(), true)
	if err != nil || forced.Result != host.ResultApplied || !slices.Equal(ruleNames(h), []string{"ax", "ay"}) || !status(t, h).Policies.InSync {
		t.Errorf("%+v, %v: %q", forced, err, ruleNames(h))
	}
	// What was applied and is then saved is an edit without effect, and in sync.
	apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "other")}})
	for h.Revision().Source != host.SourceApply { //nolint:revive // it skips those above
	}
	h.Write("a/x.yaml", rulesOf("other"))
	for {
		if r := h.Revision(); r.Source == host.SourceFile {
			if len(r.Changes) != 0 || len(r.Warnings) != 0 || !status(t, h).Policies.InSync {
				t.Errorf("%+v", r)
			}
			break
		}
	}
}

func TestAPlanIsFencedByWhatRuns(t *testing.T) {
	h, _ := startOverridable(t, overridable, map[string]string{"a/x.yaml": rulesOf("ax")})
	q := admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "new")}}
	d, err := h.Admin.Plan(t.Context(), q)
	must(t, err)
	h.Write("a/x.yaml", rulesOf("ax=2s"))
	h.Revision()
	q.IfMatch = d.Hash
	for name, ask := range map[string]func() error{
		"plan":  func() error { _, err := h.Admin.Plan(t.Context(), q); return err },
		"apply": func() error { _, err := h.Admin.Apply(t.Context(), q); return err },
		"rollback": func() error {
			_, err := h.Admin.Rollback(t.Context(), admin.RollbackRequest{Revision: 1, IfMatch: d.Hash})
			return err
		},
	} {
		if e := answer(t, ask()); e.Status != http.StatusPreconditionFailed || e.Detail != "the plan is stale: made for r1; r2, by file, is running" {
			t.Errorf("%s: %d %v", name, e.Status, e)
		}
	}
	if list, _ := h.Admin.Revisions(t.Context()); len(list) != 4 || list[0].Result != host.ResultRejected || !strings.Contains(list[1].Error, "the plan is stale") {
		t.Errorf("%+v", list) // a plan is no attempt
	}
	q.IfMatch = status(t, h).Policies.Running.Hash
	if r := apply(t, h, q); r.Number != 3 {
		t.Errorf("%+v", r)
	}
}

func TestRollbackPutsARevisionBack(t *testing.T) {
	t.Parallel()
	for _, state := range []bool{true, false} {
		t.Run(fmt.Sprintf("state %t", state), func(t *testing.T) {
			manifest := overridable
			if !state {
				manifest = strings.Replace(manifest, "host: {state: {dir: state}}", "", 1)
			}
			h, restart := startOverridable(t, manifest, map[string]string{"a/x.yaml": rulesOf("ax"), "a/y.yaml": rulesOf("ay")})
			h.Write("a/x.yaml", rulesOf("new"))
			h.Revision()
			h.Write("a/x.yaml", "rules: [")
			h.Revision()
			h.Write("a/x.yaml", rulesOf("third"))
			h.Revision()
			if state {
				h = restart()
			}
			last := status(t, h).Policies.Running.Revision
			r, err := h.Admin.Rollback(t.Context(), admin.RollbackRequest{Revision: 1})
			must(t, err)
			if r.Number != last+1 || r.Source != host.SourceRollback || r.Why != "back to r1; the files are now behind: a/x.yaml" || r.Pinned == "" ||
				!slices.Equal(ruleNames(h), []string{"ax", "ay"}) {
				t.Errorf("%+v", r)
			}
			if warned := slices.ContainsFunc(r.Warnings.Warnings(), isAboutState); warned == state {
				t.Errorf("%v", r.Warnings)
			}
			// On it, another can be applied: its texts are known.
			apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("y.yaml", "yy")}})
			if got := ruleNames(h); !slices.Equal(got, []string{"ax", "yy"}) {
				t.Errorf("%q", got)
			}
			_, err = h.Admin.Rollback(t.Context(), admin.RollbackRequest{Revision: 99})
			if e := answer(t, err); e.Status != http.StatusNotFound || !strings.Contains(e.Help, "r2, r1") {
				t.Errorf("%v", e)
			}
			if got := status(t, h).Policies; !strings.HasPrefix(got.Held, "the files are now behind: a/x.yaml, a/y.yaml") {
				t.Errorf("%q", got.Held)
			}
		})
	}
}

func isAboutState(p config.Problem) bool { return p.Path == "host.state" }

func TestWhatIsNotConfirmedIsUndone(t *testing.T) {
	t.Parallel()
	t.Run("at the second try", func(t *testing.T) {
		h, _ := startOverridable(t, overridable, map[string]string{"a/x.yaml": rulesOf("ax")})
		apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "new")}, RevertAfter: admin.Seconds(2 * time.Second)})
		host.FailOnce(h.Host, errors.New("a port is taken"))
		h.Revision()
		if r := h.Revision(); r.Result != host.ResultRejected || r.Error != "a port is taken" {
			t.Fatalf("%+v", r)
		}
		if r := h.Revision(); r.Result != host.ResultApplied || r.Why != "r2 was not confirmed: back to r1" || !slices.Equal(ruleNames(h), []string{"ax"}) {
			t.Errorf("%+v", r)
		}
	})
	t.Run("in time", func(t *testing.T) {
		h, _ := startOverridable(t, overridable, map[string]string{"a/x.yaml": rulesOf("ax")})
		r := apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "new")}, RevertAfter: admin.Seconds(time.Second)})
		if s := status(t, h).Policies; r.RevertAt.IsZero() || !s.RevertAt.Equal(r.RevertAt) && s.Running.Revision == 2 {
			t.Errorf("%v %v", r.RevertAt, s.RevertAt)
		}
		h.Revision()
		back := h.Revision()
		if back.Number != 3 || back.Source != host.SourceRollback || back.Why != "r2 was not confirmed: back to r1" || back.Pinned != "" {
			t.Errorf("%+v", back)
		}
		if s := status(t, h).Policies; !s.InSync || !s.RevertAt.IsZero() || !slices.Equal(ruleNames(h), []string{"ax"}) {
			t.Errorf("%+v %q", s, ruleNames(h))
		}
	})
	t.Run("over an edit that nobody may make", func(t *testing.T) { // going back is not judged
		h, _ := startOverridable(t, overridable+"auth: {identify: [token], tokens: {file: t.yaml}}\n", map[string]string{"a/x.yaml": rulesOf("ax"), "t.yaml": "[]\n"})
		text := rulesOf("ax") + "  - {name: closed, match: {service: Arith}, access: {allow: [{caller: web}]}}\n"
		apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{{Path: "x.yaml", Text: text}}, RevertAfter: admin.Seconds(50 * time.Millisecond)})
		h.Revision()
		if back := h.Revision(); back.Result != host.ResultApplied || back.Source != host.SourceRollback {
			t.Errorf("%+v", back)
		}
	})
	t.Run("to what was applied before", func(t *testing.T) {
		h, _ := startOverridable(t, overridable, map[string]string{"a/x.yaml": rulesOf("ax")})
		first := apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "first")}})
		apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "second")}, RevertAfter: admin.Seconds(50 * time.Millisecond)})
		h.Revision()
		h.Revision()
		if back := h.Revision(); back.Pinned != first.Pinned || !slices.Equal(ruleNames(h), []string{"first"}) || status(t, h).Policies.InSync {
			t.Errorf("%+v", back)
		}
	})
	t.Run("by a restart", func(t *testing.T) {
		h, restart := startOverridable(t, overridable, map[string]string{"a/x.yaml": rulesOf("ax")})
		apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "first")}})
		apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "second")}, RevertAfter: admin.Seconds(time.Hour)})
		h = restart()
		if got, s := ruleNames(h), status(t, h).Policies; !slices.Equal(got, []string{"first"}) || s.Running.Why != "r3 was not confirmed: r2 runs again" || s.InSync {
			t.Errorf("%q %+v", got, s)
		}
		h = restart()
		if got := ruleNames(h); !slices.Equal(got, []string{"first"}) {
			t.Errorf("%q", got)
		}
	})
	t.Run("to the files by a restart", func(t *testing.T) {
		h, restart := startOverridable(t, overridable, map[string]string{"a/x.yaml": rulesOf("ax")})
		apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "first")}, RevertAfter: admin.Seconds(time.Hour)})
		h = restart()
		if got, s := ruleNames(h), status(t, h).Policies; !slices.Equal(got, []string{"ax"}) || !s.InSync {
			t.Errorf("%q %+v", got, s)
		}
	})
	t.Run("but stays once confirmed", func(t *testing.T) {
		h, restart := startOverridable(t, overridable, map[string]string{"a/x.yaml": rulesOf("ax")})
		apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "first")}, RevertAfter: admin.Seconds(time.Hour)})
		_, err := h.Admin.Apply(t.Context(), admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "second")}})
		if e := answer(t, err); e.Status != http.StatusConflict || !strings.Contains(e.Help, "easymicro rollback r1 goes back now") {
			t.Errorf("%v", e)
		}
		r, err := h.Admin.Confirm(t.Context())
		if err != nil || r.Number != 2 || !r.RevertAt.IsZero() {
			t.Errorf("%+v %v", r, err)
		}
		_, err = h.Admin.Confirm(t.Context())
		if e := answer(t, err); e.Status != http.StatusConflict {
			t.Errorf("%v", e)
		}
		h = restart()
		if got := ruleNames(h); !slices.Equal(got, []string{"first"}) {
			t.Errorf("%q", got)
		}
	})
	t.Run("unless an edit has replaced it", func(t *testing.T) {
		h, _ := startOverridable(t, overridable, map[string]string{"a/x.yaml": rulesOf("ax")})
		apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "first")}, RevertAfter: admin.Seconds(time.Hour)})
		h.Write("a/x.yaml", rulesOf("edited"))
		h.Revision()
		h.Revision()
		_, err := h.Admin.Confirm(t.Context())
		if e := answer(t, err); e.Status != http.StatusConflict || !status(t, h).Policies.RevertAt.IsZero() {
			t.Errorf("%v", e)
		}
	})
}

func TestWhatIsRefusedChangesNothing(t *testing.T) {
	closed := "rules: [{name: closed, match: {service: Arith}, access: {deny: [{caller: anonymous}]}}]\n"
	h, _ := startOverridable(t, overridable, map[string]string{"a/x.yaml": closed})
	q := admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "open")}}
	_, err := h.Admin.Apply(t.Context(), q)
	e := answer(t, err)
	if text := e.Problems.Error(); e.Code != admin.CodeRejected || !strings.Contains(text, "wider: anonymous may now call Arith.") || !strings.Contains(text, "or by easymicro apply --allow-wider") {
		t.Errorf("%v %s", e, text)
	}
	if s := status(t, h).Policies; !s.InSync || s.Running.Revision != 1 || s.LastAttempt.Result != host.ResultApplied {
		t.Errorf("%+v", s)
	}
	if list, _ := h.Admin.Revisions(t.Context()); len(list) != 2 || list[0].Result != host.ResultRejected || list[0].Who == "" {
		t.Errorf("%+v", list)
	}
	q.AllowWider = true
	if r := apply(t, h, q); !slices.ContainsFunc(r.Warnings, func(p config.Problem) bool { return strings.HasPrefix(p.Message, "wider: ") }) {
		t.Errorf("%+v", r.Warnings)
	}
}

func TestAppliedFilesShowNoVariableOfTheHost(t *testing.T) {
	t.Setenv("DB_PASSWORD", "canary-in-env")
	t.Setenv("RATE", "7")
	const manifest = "x-secret: ${DB_PASSWORD}\n" + overridable
	limited := func(name, rate string) string {
		return "rules:\n  - name: " + name + "\n    match: {service: Arith}\n    rateLimit:\n      per: 1s\n      rate: " + rate + "\n"
	}
	h, _ := startOverridable(t, manifest, map[string]string{"a/x.yaml": limited("x", "${RATE}")})
	put := func(path, text string) (string, error) {
		q := admin.ApplyRequest{Files: []admin.ApplyFile{{Path: path, Text: text}}, AllowWider: true}
		_, planErr := h.Admin.Plan(t.Context(), q)
		_, err := h.Admin.Apply(t.Context(), q)
		config, configErr := h.Admin.Config(t.Context())
		must(t, configErr)
		return fmt.Sprint(planErr, err, config.YAML), errors.Join(planErr, err)
	}
	for _, text := range []string{
		limited("${DB_PASSWORD}", "5"), limited("y-${DB_PASSWORD:-none}", "5"), limited("y", "${DB_PASSWORD}"), limited("y", "${RATE}${DB_PASSWORD}"),
		"x-a: &a \"${DB_PASSWORD}\"\nrules: [{name: *a, match: {service: Arith}, rateLimit: {rate: 5}}]\n",
	} {
		for _, path := range []string{"y.yaml", "x.yaml"} {
			shown, err := put(path, text)
			if err == nil || strings.Contains(shown, "canary") {
				t.Errorf("%s: %v: %s", text, err, shown)
			}
			if e := answer(t, err); !strings.Contains(e.Problems.Error(), "a/"+path+":") || !strings.Contains(e.Problems.Error(), "${DB_PASSWORD} cannot be applied") {
				t.Errorf("%s: %v %v", text, e, e.Problems)
			}
		}
	}
	if shown, err := put("y.yaml", limited("y", "${RATE}")+"# ${DB_PASSWORD}\n"); err != nil || !strings.Contains(shown, "rate: 7") {
		t.Errorf("a variable that a policy file of the host uses: %v: %s", err, shown)
	}
	if shown, err := put("y.yaml", limited("y", "8")+"x-note: $${DB_PASSWORD}\n"); err != nil || strings.Contains(shown, "canary") {
		t.Errorf("an escape: %v: %s", err, shown)
	}
}

func TestAnAppliedEditThatRefusesTheTrafficIsRolledBack(t *testing.T) {
	h := edited(t, untilUndone(guardedManifest, true), map[string]string{policyFile: rule(10000)})
	f := startFlow(t, h, 2, "Mul")
	awaitThat(t, "traffic", func() bool { return f.ok.Load() > 500 })
	r := apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{{Path: filepath.Base(policyFile), Text: rule(1)}}, Force: true})
	h.Revision()
	back := h.Revision()
	if back.Source != host.SourceAutoRollback || !strings.HasPrefix(back.Why, fmt.Sprintf("r%d rolled back: ", r.Number)) || back.Pinned != "" {
		t.Errorf("%+v", back)
	}
	if strings.Contains(back.Why, "reload --force") || !strings.Contains(back.Why, "To keep it: autoRollback: off in arith-mul") {
		t.Errorf("a way out that does not keep it: %s", back.Why)
	}
	if undone, err := h.Admin.Revision(t.Context(), r.Number); err != nil || undone.Result != host.ResultRolledBack {
		t.Errorf("%+v %v", undone, err)
	}
	_, err := h.Admin.Rollback(t.Context(), admin.RollbackRequest{Revision: r.Number})
	if e := answer(t, err); e.Status != http.StatusNotFound {
		t.Errorf("a revision that was undone: %v", e)
	}
	// The files are what runs.
	if s := status(t, h).Policies; !s.InSync || s.Held != "" {
		t.Errorf("%+v", s)
	}
}

// A rejected command says nothing about the files, and an accepted one does not put them right.
func TestTheGaugeOfTheLastReloadIsAboutTheFiles(t *testing.T) {
	t.Parallel()
	h, _ := startOverridable(t, overridable, map[string]string{"a/x.yaml": rulesOf("ax")})
	wants := func(when, value string) {
		t.Helper()
		if text := metricsOf(t, h); !strings.Contains(text, "\neasymicro_config_last_reload_successful "+value+"\n") {
			t.Errorf("%s: it is not %s", when, value)
		}
	}
	wants("at the start", "1")
	_, err := h.Admin.Apply(t.Context(), admin.ApplyRequest{Files: []admin.ApplyFile{{Path: "x.yaml", Text: "rules: [{name: a\n"}}})
	_ = answer(t, err)
	wants("after a rejected apply", "1")
	h.Write("a/x.yaml", "rules: [{name: a\n")
	for h.Revision().Source != host.SourceFile { //nolint:revive // it skips the command
	}
	wants("after a rejected edit", "0")
	apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "new")}})
	wants("after an apply in place of invalid files", "0")
	h.Write("a/x.yaml", rulesOf("ax=2s"))
	for h.Revision().Source != host.SourceFile { //nolint:revive // it skips the command
	}
	wants("once the files are valid", "1")
}

// A disk that hangs holds up no edit. What is not on disk is told, and is written once the disk answers.
func TestAStateDirectoryThatHangsHoldsUpNoEdit(t *testing.T) {
	t.Parallel()
	h, restart := startOverridable(t, overridable, map[string]string{"a/x.yaml": rulesOf("ax")})
	release := host.HoldState(h.Host)
	t.Cleanup(release)
	r := apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "new")}})
	if !strings.Contains(r.Warnings.Error(), "host.state.dir: r2 is not on disk: a start may forget it: the file system does not answer") {
		t.Errorf("warnings %v", r.Warnings)
	}
	h.Write("a/x.yaml", rulesOf("saved"))
	for h.Revision().Source != host.SourceFile { //nolint:revive // it skips the command
	}
	if got := ruleNames(h); !slices.Equal(got, []string{"saved"}) {
		t.Errorf("rules %q", got)
	}
	if s := status(t, h); !slices.ContainsFunc(s.Warnings, func(w config.Problem) bool {
		return strings.Contains(w.Message, "cannot be written: the file system does not answer")
	}) {
		t.Errorf("warnings %v", s.Warnings)
	}
	if text := metricsOf(t, h); strings.Contains(text, "easymicro_state_write_failures_total 0\n") {
		t.Error("it is not counted")
	}
	release()
	eventually(t, "the end of the warning", func() bool {
		return !slices.ContainsFunc(status(t, h).Warnings, func(w config.Problem) bool { return w.Path == "host.state.dir" })
	})
	if r := apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "last")}}); strings.Contains(r.Warnings.Error(), "on disk") {
		t.Errorf("warnings %v", r.Warnings)
	}
	h = restart()
	list, err := h.Admin.Revisions(t.Context())
	must(t, err)
	var got []string
	for i := range list {
		got = append(got, list[i].Source)
	}
	if want := []string{"start", "apply", "file", "apply", "start"}; !slices.Equal(got, want) || list[0].Number != 5 {
		t.Errorf("%q, the last is r%d", got, list[0].Number)
	}
}
