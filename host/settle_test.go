package host_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	fileset "github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
)

// script is a source that gives one set after the other, and then the last one for ever.
type script struct{ sets []*config.Set }

func (s *script) Load(context.Context) (*config.Set, error) {
	set := s.sets[0]
	if len(s.sets) > 1 {
		s.sets = s.sets[1:]
	}
	return set, nil
}

func (s *script) Hash() (string, error) { return s.sets[0].Hash, nil }
func (s *script) Dirs() []string        { return nil }

// setOf is a set from the text of a manifest, named by its hash.
func setOf(t testing.TB, hash, manifest string) *config.Set {
	t.Helper()
	m, problems := config.DecodeManifest("easymicro.yaml", []byte(manifest), func(string) (string, bool) { return "", false })
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return &config.Set{Manifest: m, Rules: m.Policies.Rules, Hash: hash, Dir: t.TempDir()}
}

const threeRules = `
listeners: [{name: main, address: "127.0.0.1:0"}]
admin: {address: ""}
services: [{name: Arith, handler: test.arith}]
policies:
  rules:
    - {name: one, match: {service: Arith}, timeout: 1s}
    - {name: two, match: {service: Arith}, concurrency: {max: 5}}
    - {name: three, match: {service: Arith}, rateLimit: {rate: 5}}
`

const oneRule = `
listeners: [{name: main, address: "127.0.0.1:0"}]
admin: {address: ""}
services: [{name: Arith, handler: test.arith}]
policies: {rules: [{name: one, match: {service: Arith}, timeout: 1s}]}
`

const lockedRules = `
listeners: [{name: main, address: "127.0.0.1:0"}]
admin: {address: ""}
services: [{name: Arith, handler: test.arith}]
policies:
  rules:
    - {name: one, match: {service: Arith}, timeout: 1s}
    - {name: two, match: {service: Arith}, concurrency: {max: 5}}
    - {name: three, match: {service: Arith}, rateLimit: {rate: 5}}
    - {name: lock, match: {service: Arith, method: Mul}, access: {deny: [{caller: "*"}]}}
`

const twoRules = `
listeners: [{name: main, address: "127.0.0.1:0"}]
admin: {address: ""}
services: [{name: Arith, handler: test.arith}]
policies:
  rules:
    - {name: one, match: {service: Arith}, timeout: 1s}
    - {name: two, match: {service: Arith}, concurrency: {max: 5}}
`

const noRule = `
listeners: [{name: main, address: "127.0.0.1:0"}]
admin: {address: ""}
services: [{name: Arith, handler: test.arith}]
`

func TestALossThatIsMendedBeforeTheSecondLookNeverApplies(t *testing.T) {
	full, half := setOf(t, "full", threeRules), setOf(t, "half", oneRule)
	locked, open := setOf(t, "locked", lockedRules), setOf(t, "open", threeRules)
	for _, tt := range []struct {
		name   string
		sets   []*config.Set // the first is in force
		result string
		hash   string
		took   time.Duration
		lost   string
	}{
		{"back to what runs", []*config.Set{full, half, full}, host.ResultUnchanged, "full", time.Second, ""},
		{"on to something else", []*config.Set{full, half, setOf(t, "other", threeRules)}, host.ResultApplied, "other", time.Second, ""},
		{"it stays", []*config.Set{full, half, half}, host.ResultApplied, "half", time.Second, "two was removed"},
		{"on to another loss", []*config.Set{full, half, setOf(t, "less", noRule), setOf(t, "less", noRule)}, host.ResultApplied, "less", 2 * time.Second, "one was removed"},
		{"one of four, for access", []*config.Set{locked, open, open}, host.ResultApplied, "open", time.Second, "lock was removed"},
		{"one of three, not for access", []*config.Set{full, setOf(t, "two", twoRules)}, host.ResultApplied, "two", 0, "three was removed"},
	} {
		for _, source := range []string{host.SourceAdmin, host.SourceSignal} {
			t.Run(tt.name+" by "+source, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h, err := host.Open(t.Context(), tt.sets[0], host.Options{Registry: newPlant(t).reg, Source: &script{tt.sets[1:]}})
					must(t, err)
					defer h.Close()
					before := time.Now()
					r, err := h.Reload(t.Context(), source, "a test")
					if err != nil || r.Result != tt.result || r.Hash != tt.hash {
						t.Errorf("%s %q, %v; want %s %q", r.Result, r.Hash, err, tt.result, tt.hash)
					}
					if took := time.Since(before); took != tt.took {
						t.Errorf("after %v, want %v", took, tt.took)
					}
					if text := r.Warnings.Error(); !strings.Contains(text, tt.lost) || tt.lost == "" && text != "" {
						t.Errorf("warnings %q, want %q", text, tt.lost)
					}
				})
			})
		}
	}
}

func TestAHostIsOutOfSyncWhileAnEditWaitsForTheSecondLook(t *testing.T) {
	locked, open := setOf(t, "locked", lockedRules), setOf(t, "open", threeRules)
	for name, tt := range map[string]struct {
		then   *config.Set // what the second look finds
		result string
	}{
		"it stays":          {open, host.ResultApplied},
		"back to what runs": {locked, host.ResultUnchanged},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, err := host.Open(t.Context(), locked, host.Options{Registry: newPlant(t).reg, Source: &script{[]*config.Set{open, tt.then}}})
				must(t, err)
				defer h.Close()
				wants := func(inSync bool, desired, waiting string) {
					t.Helper()
					s, err := host.AdminOf(h).Status(t.Context())
					must(t, err)
					if p := s.Policies; p.InSync != inSync || p.Desired.Hash != desired || p.Waiting != waiting {
						t.Errorf("in sync %v, desired %q, waiting %q; want %v, %q, %q", p.InSync, p.Desired.Hash, p.Waiting, inSync, desired, waiting)
					}
					scrape := httptest.NewRecorder()
					host.AdminOf(h).Metrics().ServeHTTP(scrape, httptest.NewRequest(http.MethodGet, "/metrics", nil))
					if got := strings.Contains(scrape.Body.String(), "\neasymicro_config_in_sync 1\n"); got != inSync {
						t.Errorf("easymicro_config_in_sync: %v, want %v", got, inSync)
					}
				}
				wants(true, "locked", "")
				done := make(chan host.Attempt, 1)
				go func() {
					r, _ := h.Reload(t.Context(), host.SourceAdmin, "a test")
					done <- r
				}()
				synctest.Wait()
				wants(false, "open", "the edit removes rules: it is applied if it is unchanged in 1s")
				if r := <-done; r.Result != tt.result {
					t.Errorf("the second look: %s, want %s", r.Result, tt.result)
				}
				wants(true, tt.then.Hash, "")
			})
		})
	}
}

// A set that a program applies is not a half-written file. That a rule is gone is logged all the same.
func TestASetThatAProgramAppliesIsNotLookedAtAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := host.Open(t.Context(), setOf(t, "locked", lockedRules), host.Options{Registry: newPlant(t).reg})
		must(t, err)
		defer h.Close()
		before := time.Now()
		r, err := h.Apply(t.Context(), setOf(t, "open", threeRules))
		if err != nil || r.Result != host.ResultApplied || time.Since(before) > 0 || !strings.Contains(r.Warnings.Error(), "lock was removed") {
			t.Errorf("%s, %v after %v, warnings %v", r.Result, err, time.Since(before), r.Warnings)
		}
	})
}

func TestTheSecondLookEndsWithItsRequestAndWithTheHost(t *testing.T) {
	for name, end := range map[string]struct {
		by   func(h *host.Host, cancel context.CancelFunc)
		want error
	}{
		"who asked is gone": {func(_ *host.Host, cancel context.CancelFunc) { cancel() }, context.Canceled},
		"the host ends":     {func(h *host.Host, _ context.CancelFunc) { h.Close() }, host.ErrDraining},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				locked, open := setOf(t, "locked", lockedRules), setOf(t, "open", threeRules)
				h, err := host.Open(t.Context(), locked, host.Options{Registry: newPlant(t).reg, Source: &script{[]*config.Set{open}}})
				must(t, err)
				defer h.Close()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				before, answer := time.Now(), make(chan error, 1)
				go func() {
					_, err := h.Reload(ctx, host.SourceAdmin, "a test")
					answer <- err
				}()
				synctest.Wait()
				end.by(h, cancel)
				if err := <-answer; !errors.Is(err, end.want) || time.Since(before) > 0 {
					t.Errorf("%v after %v, want %v at once", err, time.Since(before), end.want)
				}
				if h.Set() != locked {
					t.Error("the set was applied")
				}
			})
		})
	}
}

// written is a host that runs files, and the lines of its log that say that it looks again. It waits for that for an hour.
func written(t *testing.T, files map[string]string) (h *host.Host, dir string, doubts <-chan string, revisions <-chan host.Attempt) {
	t.Helper()
	dir = t.TempDir()
	writeFile(t, filepath.Join(dir, "easymicro.yaml"), `
listeners: [{name: main, address: "127.0.0.1:0"}]
admin: {address: ""}
services: [{name: Arith, handler: test.arith}]
policies: {files: ["*.p.yaml"], watch: {debounce: 20ms, poll: 100ms}}
`)
	for name, text := range files {
		writeFile(t, filepath.Join(dir, name), text)
	}
	set, source, err := host.LoadFiles(filepath.Join(dir, "easymicro.yaml"), fileset.Options{})
	must(t, err)
	lines, done := make(chan string, 100), make(chan host.Attempt, 100)
	h, err = host.Open(t.Context(), set, host.Options{
		Registry: newPlant(t).reg, Source: source, Logger: slog.New(slog.NewTextHandler(doubtful(lines), nil)),
		OnAttempt: func(r host.Attempt) { done <- r },
	})
	must(t, err)
	host.SecondLookAfter(h, time.Hour)
	<-done // the start
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- h.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := receive(t, ran, "the host does not end while it waits for a second look"); err != nil {
			t.Error(err)
		}
	})
	return h, dir, lines, done
}

// doubtful picks the lines of a log that say that a host looks again.
type doubtful chan string

func (d doubtful) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "edit removes rules") {
		d <- string(p)
	}
	return len(p), nil
}

const lockedFile = `rules:
  - {name: one, match: {service: Arith}, timeout: 1s}
  - {name: two, match: {service: Arith}, concurrency: {max: 5}}
`

const lockOfFile = "  - {name: lock, match: {service: Arith, method: Mul}, access: {deny: [{caller: \"*\"}]}}\n"

// A file is written in place, and stalls before the rule that keeps callers out.
func TestAFileThatStallsBetweenTwoRulesLosesNoneOfThem(t *testing.T) {
	t.Parallel()
	h, dir, doubts, revisions := written(t, map[string]string{"a.p.yaml": lockedFile + lockOfFile})
	f, err := os.OpenFile(filepath.Join(dir, "a.p.yaml"), os.O_WRONLY|os.O_TRUNC, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteString(lockedFile)
	must(t, err)
	if line := receive(t, doubts, "nobody doubts it"); !strings.Contains(line, "lock") {
		t.Errorf("%s names not what would go", line)
	}
	if len(h.Set().Rules) != 3 {
		t.Errorf("%d rules are in force", len(h.Set().Rules))
	}
	_, err = f.WriteString(strings.Replace(lockOfFile, "Mul", "Div", 1))
	must(t, err)
	if line := receive(t, doubts, "nobody doubts what the lock is on now"); !strings.Contains(line, "match.method") {
		t.Errorf("%s names not what would go", line)
	}
	must(t, f.Truncate(0))
	_, err = f.WriteAt([]byte(lockedFile+lockOfFile+"  - {name: more, match: {service: Arith}, rateLimit: {rate: 5}}\n"), 0)
	must(t, err)
	if r := receive(t, revisions, "the whole file is not applied"); r.Result != host.ResultApplied || r.Number != 2 || len(r.Warnings) > 0 || r.Rules != 4 {
		t.Errorf("r%d %s %v, %d rules, warnings %v", r.Number, r.Result, r.Problems, r.Rules, r.Warnings)
	}
}

func TestASecondLookHoldsNoOtherEditUp(t *testing.T) {
	t.Parallel()
	h, dir, doubts, revisions := written(t, map[string]string{"a.p.yaml": lockedFile, "b.p.yaml": "rules:\n" + lockOfFile})
	must(t, os.WriteFile(filepath.Join(dir, "b.p.yaml"), []byte("rules: []\n"), 0o600))
	receive(t, doubts, "nobody doubts it")
	reloaded := make(chan error, 1)
	go func() { // which waits for a second look as well
		_, err := h.Reload(t.Context(), host.SourceAdmin, "a test")
		reloaded <- err
	}()
	receive(t, doubts, "nobody doubts it")
	must(t, os.WriteFile(filepath.Join(dir, "b.p.yaml"), []byte("rules: [\n"), 0o600))
	if r := receive(t, revisions, "a bad edit is not told"); r.Result != host.ResultRejected {
		t.Errorf("r%d %s", r.Number, r.Result)
	}
	must(t, os.WriteFile(filepath.Join(dir, "b.p.yaml"), []byte("rules:\n"+strings.Replace(lockOfFile, "Mul", "\"*\"", 1)), 0o600))
	if r := receive(t, revisions, "a good edit is not applied"); r.Result != host.ResultApplied || r.Number != 2 {
		t.Errorf("r%d %s %v", r.Number, r.Result, r.Problems)
	}
	h.Close()
	if err := receive(t, reloaded, "a reload does not end with the host"); !errors.Is(err, host.ErrDraining) {
		t.Errorf("reload: %v", err)
	}
}

// stalls is a source whose content changes without that it can be read at first.
type stalls struct {
	set   *config.Set
	loads atomic.Int64
	fails int64         // so many times
	after time.Duration // they take
}

func (s *stalls) Load(ctx context.Context) (*config.Set, error) {
	if s.loads.Add(1) > s.fails {
		return s.set, nil
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(s.after):
		return nil, errors.New("no answer within 10s")
	}
}

func (s *stalls) Hash() (string, error) { return s.set.Hash, nil }
func (s *stalls) Dirs() []string        { return nil }

func TestAReloadThatIsGivenUpIsNoRejectedEdit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var revisions atomic.Int64
		h, err := host.Open(t.Context(), setOf(t, "full", threeRules), host.Options{
			Registry: newPlant(t).reg, Source: &stalls{set: setOf(t, "other", twoRules), fails: 1, after: 10 * time.Second},
			OnAttempt: func(host.Attempt) { revisions.Add(1) },
		})
		must(t, err)
		defer h.Close()
		before := revisions.Load()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := h.Reload(ctx, host.SourceSignal, "a test"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if n := revisions.Load() - before; n != 0 {
			t.Errorf("%d revisions are recorded", n)
		}
	})
}

func TestAnEditThatCouldNotBeReadAppliesOnceItCan(t *testing.T) {
	applied := make(chan host.Attempt, 10)
	h, err := host.Open(t.Context(), setOf(t, "full", noRule+"policies: {watch: {debounce: 10ms, poll: 100ms}}\n"), host.Options{
		Registry: newPlant(t).reg, Source: &stalls{set: setOf(t, "other", twoRules), fails: 1},
		OnAttempt: func(r host.Attempt) { applied <- r },
	})
	must(t, err)
	<-applied // the start
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	if r := receive(t, applied, "no edit is seen"); r.Result != host.ResultRejected || r.Error != "no answer within 10s" {
		t.Errorf("first %s %q", r.Result, r.Error)
	}
	if r := receive(t, applied, "the edit is not read again"); r.Result != host.ResultApplied || r.Hash != "other" {
		t.Errorf("then %s %q", r.Result, r.Hash)
	}
	cancel()
	must(t, <-ended)
}
