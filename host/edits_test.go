package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config/lint"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
)

const editedManifest = `
services: [{name: Arith, handler: test.arith}]
policies:
  files: [policies.d/*.yaml]
  watch: {debounce: 40ms, poll: 200ms}
`

// edited is a host whose policy files are edited.
func edited(t *testing.T, manifest string, files map[string]string) *hosttest.Host {
	t.Helper()
	return hosttest.Start(t, manifest, hosttest.Options{Registry: newPlant(t).reg, Files: files})
}

// rateOf returns the rate in force, as its refusals and its state show it.
func rateOf(t *testing.T, h *hosttest.Host) string {
	t.Helper()
	rules, err := h.Admin.Rules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		if r.Name == "arith-mul" {
			return r.Kinds[0].Setting
		}
	}
	return ""
}

// settles saves a rate that no test uses, and fails unless that is the very next revision: whatever was done before
// made none.
func settles(t *testing.T, h *hosttest.Host, file string, revision int) {
	t.Helper()
	h.Write(file, rule(777))
	if r := h.Revision(); r.Result != host.ResultApplied || r.Number != revision {
		t.Errorf("got r%d %s %v, want r%d applied", r.Number, r.Result, r.Problems, revision)
	}
	if got := rateOf(t, h); !strings.HasPrefix(got, "777 ") {
		t.Errorf("rate %q, want that of the last edit", got)
	}
}

const policyFile = "policies.d/10.yaml"

func TestABadEditIsRejectedWithItsPlaceAndTheNextGoodOneApplies(t *testing.T) {
	t.Parallel() // it waits most of the time
	h := edited(t, editedManifest, map[string]string{policyFile: rule(100)})
	rejected := 0
	for _, tt := range []struct{ name, text, want string }{
		{"unknown key", "rules:\n  - name: r\n    match: {service: Arith}\n    rateLimit: {raet: 5}\n", "10.yaml:4:17: rules[0].rateLimit.raet"},
		{"did you mean", "rules:\n  - name: r\n    match: {service: Arith}\n    rateLimit: {raet: 5}\n", "did you mean rate?"},
		{"syntax error", "rules:\n  - name: r\n   match: [\n", "10.yaml:"},
		{"wrong type", "rules:\n  - {name: r, match: {service: Arith}, rateLimit: {rate: many}}\n", "10.yaml:2:"},
		{"wrong unit", "rules:\n  - {name: r, match: {service: Arith}, timeout: 5}\n", "5ms or 5s"},
		{"cut inside a rule", "rules:\n  - name: r\n    match: {service: Ari", "10.yaml:"},
		{"empty file", "", "10.yaml:1"},
		{"rate 0", "rules:\n  - {name: r, match: {service: Arith}, rateLimit: {rate: 0}}\n", "rate"},
		{"negative rate", "rules:\n  - {name: r, match: {service: Arith}, rateLimit: {rate: -5}}\n", "rate"},
		{"rate that is no number", "rules:\n  - {name: r, match: {service: Arith}, rateLimit: {rate: .nan}}\n", "rate"},
		{"rate beyond bounds", "rules:\n  - {name: r, match: {service: Arith}, rateLimit: {rate: 1e300}}\n", "rate"},
		{"burst 0", "rules:\n  - {name: r, match: {service: Arith}, rateLimit: {rate: 5, burst: 0}}\n", "burst"},
		{"alias bomb", aliasBomb(), "10.yaml:"},
		{"two equally specific timeouts", "rules:\n  - {name: one, match: {service: Arith}, timeout: 1s}\n" +
			"  - {name: two, match: {service: Arith}, timeout: 2s}\n", "one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := time.Now()
			h.Write(policyFile, tt.text)
			r := h.Revision()
			if r.Result != host.ResultRejected || r.Number != 1+rejected {
				t.Fatalf("got r%d %s, want rejected beside r%d", r.Number, r.Result, 1+rejected)
			}
			if !strings.Contains(r.Problems.Error(), tt.want) {
				t.Errorf("problems:\n%v\nwant %q", r.Problems, tt.want)
			}
			if took := time.Since(before); took > slack*5*time.Second {
				t.Errorf("it took %v", took)
			}
			if got := rateOf(t, h); got == "" {
				t.Error("the running rule is gone")
			}
			status, err := h.Admin.Status(t.Context())
			if err != nil || status.Policies.InSync || len(status.Policies.LastAttempt.Problems) == 0 {
				t.Errorf("status %+v, %v", status.Policies, err)
			}
			h.Write(policyFile, rule(200+rejected))
			rejected++
			if r := h.Revision(); r.Result != host.ResultApplied || r.Number != 1+rejected {
				t.Fatalf("the good edit behind it: r%d %s %v", r.Number, r.Result, r.Problems)
			}
		})
	}
}

// aliasBomb would be a billion rules.
func aliasBomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	return b.String() + "rules: *a9\n"
}

func TestWhatIsNoReadableFileIsRejectedAndTheNextGoodWriteApplies(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(t *testing.T, path string)
		want string
	}{
		{"a folder", func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o755)) }, "directory"},
		{"a file of 100 MB", func(t *testing.T, path string) {
			must(t, os.WriteFile(path, []byte("rules: []\n"), 0o600))
			must(t, os.Truncate(path, 100<<20))
		}, "1 MiB"},
		{"a link to nowhere", func(t *testing.T, path string) { must(t, os.Symlink("nowhere", path)) }, "cannot be read"},
		{"an unreadable file", func(t *testing.T, path string) {
			if os.Geteuid() == 0 {
				t.Skip("everything is readable")
			}
			must(t, os.WriteFile(path, []byte(rule(5)), 0o000))
		}, "cannot be read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := edited(t, editedManifest, map[string]string{policyFile: rule(100), "policies.d/20.yaml": "rules: []\n"})
			path := filepath.Join(h.Dir, policyFile)
			// Made beside it and moved into its place, so that there is one content only.
			odd := filepath.Join(t.TempDir(), "odd")
			tt.make(t, odd)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			must(t, os.Remove(path))
			must(t, os.Rename(odd, path))
			r := h.Revision()
			runtime.ReadMemStats(&after)
			if r.Result != host.ResultRejected || !strings.Contains(r.Problems.Error(), tt.want) {
				t.Fatalf("%s\n%v\nwant rejected: %q", r.Result, r.Problems, tt.want)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 32<<20 {
				t.Errorf("reading it took %d MiB", grown>>20)
			}
			if got := rateOf(t, h); !strings.HasPrefix(got, "100 ") {
				t.Errorf("rate %q, want the running one", got)
			}
			must(t, os.RemoveAll(path))
			settles(t, h, policyFile, 2)
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEachSettledContentIsAppliedOnce(t *testing.T) {
	t.Parallel() // it waits most of the time
	for _, tt := range []struct {
		name string
		save func(t *testing.T, path string)
	}{
		{"save by rename", func(t *testing.T, path string) {
			must(t, os.WriteFile(path+".new~", []byte(rule(5)), 0o600))
			must(t, os.Rename(path+".new~", path))
		}},
		{"truncate and write", func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
			must(t, err)
			_, err = f.WriteString(rule(5))
			must(t, err)
			must(t, f.Close())
		}},
		{"delete and recreate", func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, os.WriteFile(path, []byte(rule(5)), 0o600))
		}},
		{"backup and recreate", func(t *testing.T, path string) {
			must(t, os.Rename(path, path+"~"))
			must(t, os.WriteFile(path, []byte(rule(5)), 0o600))
		}},
		{"folder replaced", func(t *testing.T, path string) {
			dir := filepath.Dir(path)
			must(t, os.Mkdir(dir+".new", 0o755))
			must(t, os.WriteFile(filepath.Join(dir+".new", filepath.Base(path)), []byte(rule(5)), 0o600))
			must(t, os.Rename(dir, dir+".old"))
			must(t, os.Rename(dir+".new", dir))
		}},
		{"ten saves at once", func(t *testing.T, path string) {
			fresh := func(i int) string { return fmt.Sprintf("%s.%d~", path, i) }
			for i := range 10 {
				must(t, os.WriteFile(fresh(i), []byte(rule(14-i)), 0o600))
			}
			for i := range 10 {
				must(t, os.Rename(fresh(i), path))
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := editedAtOnce(t, tt.save)
			if r := h.Revision(); r.Result != host.ResultApplied || r.Number != 2 || len(r.Changes) == 0 {
				t.Fatalf("r%d %s %v", r.Number, r.Result, r.Problems)
			}
			if got := rateOf(t, h); !strings.HasPrefix(got, "5 ") {
				t.Errorf("rate %q, want the saved one", got)
			}
			settles(t, h, policyFile, 3)
		})
	}
}

// editedAtOnce is a host whose policy file was saved in less than the time after which a content counts as settled.
func editedAtOnce(t *testing.T, save func(t *testing.T, path string)) *hosttest.Host {
	t.Helper()
	for range 100 {
		h := edited(t, editedManifest, map[string]string{policyFile: rule(100)})
		begin := time.Now()
		save(t, filepath.Join(h.Dir, policyFile))
		if time.Since(begin) < 20*time.Millisecond {
			return h
		}
		h.Stop()
	}
	t.Fatal("no save is fast enough")
	return nil
}

func TestAConfigMapSwapIsOneRevision(t *testing.T) {
	t.Parallel() // it waits most of the time
	dir := t.TempDir()
	write := func(folder string, rate int) {
		must(t, os.MkdirAll(filepath.Join(dir, folder), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, folder, "10.yaml"), []byte(rule(rate)), 0o600))
	}
	swap := func(folder string) {
		must(t, os.Symlink(folder, filepath.Join(dir, "..tmp")))
		must(t, os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
	}
	write("..1", 100)
	swap("..1")
	must(t, os.Symlink("..data/10.yaml", filepath.Join(dir, "10.yaml")))
	h := edited(t, strings.Replace(editedManifest, "policies.d", dir, 1), nil)
	for i, rate := range []int{5, 6} {
		folder := fmt.Sprintf("..%d", i+2)
		write(folder, rate)
		swap(folder)
		must(t, os.RemoveAll(filepath.Join(dir, fmt.Sprintf("..%d", i+1))))
		if r := h.Revision(); r.Result != host.ResultApplied || r.Number != i+2 {
			t.Fatalf("r%d %s %v", r.Number, r.Result, r.Problems)
		}
		if got := rateOf(t, h); !strings.HasPrefix(got, fmt.Sprint(rate)+" ") {
			t.Errorf("rate %q, want %d", got, rate)
		}
	}
}

func TestWhatChangesNoContentMakesNoRevision(t *testing.T) {
	t.Parallel() // it waits most of the time
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, h *hosttest.Host)
	}{
		{"same content saved again", func(_ *testing.T, h *hosttest.Host) { h.Write(policyFile, rule(100)) }},
		{"editor droppings", func(t *testing.T, h *hosttest.Host) {
			for _, name := range []string{".#10.yaml", "#10.yaml#", "10.yaml~", ".10.yaml.swp", ".10.yaml"} {
				must(t, os.WriteFile(filepath.Join(h.Dir, "policies.d", name), []byte("rules: [nonsense"), 0o600))
			}
		}},
		{"a file that no pattern matches", func(t *testing.T, h *hosttest.Host) {
			must(t, os.WriteFile(filepath.Join(h.Dir, "policies.d", "README.md"), []byte("rules: [nonsense"), 0o600))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := edited(t, editedManifest, map[string]string{policyFile: rule(100)})
			tt.do(t, h)
			settles(t, h, policyFile, 2)
		})
	}
}

func TestAnUnknownServiceIsAWarningWithASuggestion(t *testing.T) {
	t.Parallel() // it waits most of the time
	h := edited(t, editedManifest, map[string]string{policyFile: rule(100)})
	h.Write(policyFile, strings.Replace(rule(5), "service: Arith", "service: Arit", 1))
	r := h.Revision()
	if r.Result != host.ResultApplied || len(r.Warnings) == 0 || !strings.Contains(r.Warnings.Error(), "did you mean Arith?") {
		t.Errorf("%s, warnings %v", r.Result, r.Warnings)
	}
}

func TestASetThatLosesMostOfItsRulesIsReadAgainAndNamesThem(t *testing.T) {
	t.Parallel() // it waits most of the time
	three := rule(100) + "  - {name: second, match: {service: Arith}, timeout: 1s}\n" +
		"  - {name: third, match: {service: Arith}, concurrency: {max: 5}}\n"
	h := edited(t, editedManifest, map[string]string{policyFile: three})
	before := time.Now()
	h.Write(policyFile, rule(100))
	r := h.Revision()
	if took := time.Since(before); r.Result != host.ResultApplied || took < time.Second {
		t.Errorf("%s after %v, want applied after a second look", r.Result, took)
	}
	if text := r.Warnings.Error(); !strings.Contains(text, "second") || !strings.Contains(text, "third") {
		t.Errorf("warnings %q name not what went", text)
	}
}

func TestASetThatLosesAllItsFilesIsRefusedUnlessAllowed(t *testing.T) {
	t.Parallel() // it waits most of the time
	h := edited(t, editedManifest, map[string]string{policyFile: rule(100)})
	must(t, os.Remove(filepath.Join(h.Dir, policyFile)))
	if r := h.Revision(); r.Result != host.ResultRejected || !strings.Contains(r.Problems.Error(), "allowEmpty") {
		t.Errorf("%s %v", r.Result, r.Problems)
	}
	if got := rateOf(t, h); !strings.HasPrefix(got, "100 ") {
		t.Errorf("rate %q, want the running one", got)
	}
	h.Edit("easymicro.yaml", "policies:\n", "policies:\n  allowEmpty: true\n")
	if r := h.Revision(); r.Result != host.ResultApplied || r.Rules != 0 {
		t.Errorf("with allowEmpty: %s %v", r.Result, r.Problems)
	}
}

// An edit that was reloaded before the watcher noticed it, and undone at once.
func TestAnUndoneEditIsUndoneAfterAReloadToo(t *testing.T) {
	t.Parallel()
	h := edited(t, strings.Replace(editedManifest, "debounce: 40ms", "debounce: 500ms", 1), map[string]string{policyFile: rule(10)})
	h.Write(policyFile, rule(20))
	if _, err := h.Admin.Reload(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if got := rateOf(t, h); !strings.HasPrefix(got, "20 ") {
		t.Fatalf("rate %q after the reload", got)
	}
	h.Write(policyFile, rule(10))
	eventually(t, "the first rate is in force again", func() bool { return strings.HasPrefix(rateOf(t, h), "10 ") })
}

func TestGoingBackToTheRunningContentIsInSyncAgain(t *testing.T) {
	t.Parallel() // it waits most of the time
	h := edited(t, editedManifest, map[string]string{policyFile: rule(100)})
	h.Write(policyFile, "rules: [nonsense")
	if r := h.Revision(); r.Result != host.ResultRejected {
		t.Fatalf("%s", r.Result)
	}
	if inSync(t, h) {
		t.Error("in sync with files that are wrong")
	}
	h.Write(policyFile, rule(100))
	if r := h.Revision(); r.Result != host.ResultUnchanged || r.Number != 1 {
		t.Errorf("r%d %s, want r1 unchanged", r.Number, r.Result)
	}
	if !inSync(t, h) {
		t.Error("not in sync with the files that run")
	}
	settles(t, h, policyFile, 2)
}

func inSync(t *testing.T, h *hosttest.Host) bool {
	t.Helper()
	s, err := h.Admin.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Policies.InSync
}

func TestTheSameBadContentIsRecordedOnce(t *testing.T) {
	t.Parallel() // it waits most of the time
	h := edited(t, editedManifest, map[string]string{policyFile: rule(100)})
	h.Write(policyFile, "rules: [nonsense")
	if r := h.Revision(); r.Result != host.ResultRejected {
		t.Fatalf("%s", r.Result)
	}
	h.Write(policyFile, "rules: [nonsense")
	settles(t, h, policyFile, 2)
	revisions, err := h.Admin.Revisions(t.Context())
	if err != nil || len(revisions) != 3 { // start, rejected, applied
		t.Errorf("%d revisions, %v", len(revisions), err)
	}
}

func TestAReloadByHandSaysThatNothingChanged(t *testing.T) {
	t.Parallel() // it waits most of the time
	h := edited(t, editedManifest, map[string]string{policyFile: rule(100)})
	r, err := h.Reload(t.Context(), host.SourceSignal, "")
	if err != nil || r.Result != host.ResultUnchanged || r.Number != 1 {
		t.Errorf("r%d %s, %v", r.Number, r.Result, err)
	}
}

func TestAWarningThatACommentIgnoresIsNotShown(t *testing.T) {
	const elsewhere = "rules:\n  - {name: a, match: {service: Elsewhere}, timeout: 1s}"
	h := edited(t, editedManifest, map[string]string{
		policyFile: elsewhere + " # easymicro: ignore EM220 until 2190-01-01 because the fleet shares this file\n",
	})
	if w := warningsOf(t, h); len(w) > 0 {
		t.Errorf("warnings: %v", w)
	}
	h.Write(policyFile, elsewhere+" # easymicro: ignore EM220 until 2020-01-01 because the fleet shared this file\n")
	r := h.Revision()
	if len(r.Warnings) != 2 || r.Warnings[0].Code != lint.EndedIgnore && r.Warnings[1].Code != lint.EndedIgnore {
		t.Errorf("%s, warnings %v", r.Result, r.Warnings)
	}
	h.Write(policyFile, elsewhere+" # easymicro: ignore EM104 until 2190-01-01 because of a mistake\n")
	if r := h.Revision(); r.Result != host.ResultRejected || len(r.Problems.Errors()) != 1 || r.Problems.Errors()[0].Code != lint.ErrorIgnore {
		t.Errorf("%s, problems %v", r.Result, r.Problems)
	}
}
