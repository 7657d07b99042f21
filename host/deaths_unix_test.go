//go:build unix

package host_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/host/state"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
)

const mortalManifest = "TEST_MORTAL_MANIFEST"

// mortal is a handler that ends its process.
type mortal struct{}

type mortalOptions struct{ Exit bool }

// Die crashes the process.
func (mortal) Die(context.Context, *args, *reply) error {
	go panic("a handler that nobody tested")
	select {}
}

// mortalHost is a host in a process of its own, whose manifest is on disk.
type mortalHost struct {
	admin.Client
	Main string
	cmd  *exec.Cmd
	log  *logBuffer
}

// startMortal starts a host in a process of its own; nil if the process ends before it serves.
func startMortal(t *testing.T, dir string) *mortalHost {
	t.Helper()
	ctx, kill := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestMortalHost$", "-test.timeout=10m")
	cmd.Env = append(os.Environ(), mortalManifest+"="+filepath.Join(dir, "easymicro.yaml"))
	h := &mortalHost{cmd: cmd, log: new(logBuffer)}
	cmd.Stderr = h.log
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(h.log.String())
		}
	})
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), childMark); ok {
			var c child
			must(t, json.Unmarshal([]byte(text), &c))
			h.Main, h.Address = c.Main, c.Admin
			go func() { _, _ = io.Copy(io.Discard, stdout) }()
			return h
		}
	}
	_ = cmd.Wait()
	return nil
}

// kill ends the process as kill -9 does.
func (h *mortalHost) kill(t *testing.T) {
	t.Helper()
	must(t, h.cmd.Process.Kill())
	_ = h.cmd.Wait()
}

// TestMortalHost is the other process.
func TestMortalHost(t *testing.T) {
	manifest, ok := os.LookupEnv(mortalManifest)
	if !ok {
		t.Skip("runs in the processes that other tests start")
	}
	p := newPlant(t)
	registry.Register("test.mortal", mortalOptions{}, func(_ context.Context, o mortalOptions, _ registry.Env) (*registry.Service, error) {
		if o.Exit {
			os.Exit(3) //nolint:forbidigo // the process is to die before it is ready
		}
		return registry.Receiver(mortal{}), nil
	}, registry.In(p.reg), registry.Methods[mortal]())
	h := hosttest.StartFile(t, manifest, hosttest.Options{Registry: p.reg, Log: os.Stderr})
	text, err := json.Marshal(&child{Main: h.Address, Admin: h.AdminAddr().String()})
	must(t, err)
	_, _ = fmt.Fprintf(os.Stdout, "%s%s\n", childMark, text)
	select {} // until it is killed
}

const mortals = `
host: {state: {dir: state}}
services: [{name: Mortal, handler: test.mortal}]
policies: {files: [p.yaml]}
`

// mortalDir returns a folder with a set that is good, as r1.
func mortalDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	save(t, dir, "easymicro.yaml", mortals)
	save(t, dir, "p.yaml", mortalRule("good"))
	startMortal(t, dir).kill(t)
	markGood(t, dir, 1)
	return dir
}

func mortalRule(name string) string {
	return "rules: [{name: " + name + ", match: {service: Mortal}, timeout: 1s}]\n"
}

func save(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	must(t, os.WriteFile(path+".tmp~", []byte(text), 0o600))
	must(t, os.Rename(path+".tmp~", path))
}

// runsInstead returns what runs in place of the files; empty if the files run.
func (h *mortalHost) runsInstead(t *testing.T) string {
	t.Helper()
	s, err := h.Status(t.Context())
	must(t, err)
	if s.Policies.Fallback == nil {
		return ""
	}
	return s.Policies.Fallback.What + ": " + s.Policies.Fallback.Problems.Error()
}

func TestASetUnderWhichTheProcessCrashedTwiceIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	dir := mortalDir(t)
	save(t, dir, "p.yaml", mortalRule("bad"))
	for range 2 {
		h := startMortal(t, dir)
		if why := h.runsInstead(t); why != "" {
			t.Fatalf("%s runs", why)
		}
		conn, err := wire.Dial(t.Context(), "tcp", h.Main, wire.ConnOptions{})
		must(t, err)
		_ = hosttest.CallJSON(t.Context(), conn, "Mortal", "Die", args{}, &reply{})
		_ = conn.Close()
		_ = h.cmd.Wait()
	}
	h := startMortal(t, dir)
	why := h.runsInstead(t)
	if !strings.HasPrefix(why, "last good set (r1): ") || !strings.Contains(why, "died 2 times") || !strings.Contains(why, "a handler that nobody tested") {
		t.Fatalf("runs: %q", why)
	}
	if !strings.Contains(h.log.String(), "an older set is started from") {
		t.Error("the log does not say so")
	}
	if r, err := h.Reload(t.Context(), false); err != nil || r.Result != admin.ResultUnchanged {
		t.Errorf("reload: %+v %v", r, err)
	}
	if r, err := h.Reload(t.Context(), true); err != nil || r.Result != admin.ResultApplied {
		t.Errorf("reload --force: %+v %v", r, err)
	}
	if why := h.runsInstead(t); why != "" {
		t.Errorf("after reload --force %s runs", why)
	}
}

func TestASetUnderWhichTheProcessEndsBeforeItIsReadyIsNotTriedAThirdTime(t *testing.T) {
	t.Parallel()
	dir := mortalDir(t)
	save(t, dir, "easymicro.yaml", strings.Replace(mortals, "test.mortal", "test.mortal, options: {exit: true}", 1))
	for range 2 {
		if h := startMortal(t, dir); h != nil {
			t.Fatal("it serves")
		}
	}
	h := startMortal(t, dir)
	if why := h.runsInstead(t); !strings.HasPrefix(why, "last good set (r1): ") || !strings.Contains(why, "ended before it was ready") {
		t.Fatalf("runs: %q", why)
	}
	list, err := h.Revisions(t.Context())
	must(t, err)
	if r := list[0]; r.Result != admin.ResultHeld || r.Source != admin.SourceStart || !strings.Contains(r.Why, "the process died 2 times under these files") {
		t.Errorf("%s by %s: %q", r.Result, r.Source, r.Why)
	}
	save(t, dir, "easymicro.yaml", mortals+"# mended\n")
	eventually(t, "the files to run", func() bool { return h.runsInstead(t) == "" })
}

func TestKillingAReadyHostChangesNothing(t *testing.T) {
	t.Parallel()
	dir := mortalDir(t)
	save(t, dir, "p.yaml", mortalRule("bad"))
	kills := 20
	if testing.Short() {
		kills = 4
	}
	for range kills {
		h := startMortal(t, dir)
		if why := h.runsInstead(t); why != "" {
			t.Fatalf("%s runs", why)
		}
		h.kill(t)
	}
}

// What a host has said is applied is in its history after kill -9 at any moment, with the texts of its files.
func TestARevisionIsKeptWholeOrNotAtAllWhenTheProcessIsKilled(t *testing.T) {
	t.Parallel()
	dir := mortalDir(t)
	applies := 50 * rounds(4)
	if testing.Short() {
		applies = 10
	}
	for applied := 0; applied < applies; {
		h := startMortal(t, dir)
		killed := time.AfterFunc(rand.N(100*time.Millisecond), func() { _ = h.cmd.Process.Kill() })
		last := 0 // that the host has confirmed
		for {
			applied++
			save(t, dir, "p.yaml", mortalRule(fmt.Sprint("rule-", applied)))
			r, err := h.Reload(t.Context(), true)
			if err != nil {
				break
			}
			last = r.Number
		}
		killed.Stop()
		_ = h.cmd.Wait()
		checkWhole(t, dir, last)
	}
}

// checkWhole checks the state of a host that was killed after it had confirmed a revision.
func checkWhole(t *testing.T, dir string, confirmed int) {
	t.Helper()
	s, err := state.Open(filepath.Join(dir, "state"), "test")
	must(t, err)
	defer s.Close()
	list := s.History(50)
	if w := s.Warnings(); len(w) > 0 || len(list) == 0 || list[len(list)-1].Number < confirmed {
		t.Fatalf("%d attempts, confirmed r%d, warnings %q", len(list), confirmed, w)
	}
	for i := range list {
		texts, err := s.Texts(list[i].Files)
		must(t, err)
		if !strings.HasPrefix(string(texts["p.yaml"]), "rules: ") || string(texts["easymicro.yaml"]) != mortals {
			t.Fatalf("r%d: %q", list[i].Number, texts)
		}
	}
	if !slices.IsSortedFunc(list, func(a, b admin.Attempt) int { return a.Number - b.Number }) {
		t.Error("the revisions are not in order")
	}
}
