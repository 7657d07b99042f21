package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const patience = 60 * time.Second

// host is a process of easymicro with a JSON log.
type host struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *bufio.Scanner
	kill *time.Timer
}

func start(t *testing.T, cmd *exec.Cmd) *host {
	t.Helper()
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("the kernel does not allow it: %v", err)
	}
	h := &host{t, cmd, bufio.NewScanner(log), time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })}
	t.Cleanup(func() {
		h.kill.Stop()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return h
}

// await returns the log line with a message.
func (h *host) await(msg string) map[string]any {
	h.t.Helper()
	var seen bytes.Buffer
	for h.log.Scan() {
		var line map[string]any
		if json.Unmarshal(h.log.Bytes(), &line) == nil && line["msg"] == msg {
			return line
		}
		seen.WriteString(h.log.Text() + "\n")
	}
	h.t.Fatalf("no %q in the log:\n%s", msg, &seen)
	return nil
}

// address returns where the host listens, from its log.
func (h *host) address() string {
	h.t.Helper()
	fields := strings.Fields(h.await("listening")["listeners"].([]any)[0].(string))
	return fields[1]
}

func (h *host) call(address string) {
	h.t.Helper()
	res, err := http.Post("http://"+address+"/Arith/Mul", "application/json", strings.NewReader(`{"a":6,"b":7}`))
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		h.t.Errorf("call: %s", res.Status)
	}
}

func (h *host) end() {
	h.t.Helper()
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		h.t.Fatal(err)
	}
	h.await("stopped")
	if err := h.cmd.Wait(); err != nil {
		h.t.Error(err)
	}
}

func asRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("chroot is for root only")
	}
}

// own makes a directory that others than its owner may enter: those of tests are private.
func own(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "easymicro-root") //nolint:usetesting // with another mode
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The user owns nothing in the root, and the mount is read-only: a mount namespace of the test's own has it so.
func TestTheImageRunsAsNobodyFromAReadOnlyRoot(t *testing.T) {
	archive := file(t, "_oci.tar")
	asRoot(t)
	dir := own(t)
	c := unpackImage(t, archive, dir)
	if c.Config.User != nobody {
		t.Errorf("user %s", c.Config.User)
	}
	edit(t, filepath.Join(dir, "etc/easymicro/easymicro.yaml"), `":8971"`, `"127.0.0.1:0"`)
	edit(t, filepath.Join(dir, "etc/easymicro/easymicro.yaml"), `drainDelay: 5s`, `drainDelay: 0s`)
	const readOnly = `mount -o remount,ro,bind "$1" && ! touch "$1/etc/x" 2>/dev/null`
	h := start(t, inRoot(t, dir, readOnly, []string{"--userspec=" + nobody}, slices.Concat(c.Config.Entrypoint, c.Config.Cmd)))
	h.call(h.address())
	h.end()
}

// inRoot returns the command that serves in a root, in a mount namespace of its own with /proc, as containers have it. It skips
// the test where the kernel does not allow that.
func inRoot(t *testing.T, dir, mounts string, change, serve []string) *exec.Cmd {
	t.Helper()
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	script := `mount --bind "$1" "$1" && mount --bind /proc "$1/proc" && ` + mounts
	if out, err := exec.CommandContext(t.Context(), unshare, "--mount", "sh", "-c", script, "sh", dir).CombinedOutput(); err != nil {
		t.Skipf("the kernel allows no mounts: %v %s", err, out)
	}
	args := slices.Concat([]string{"--mount", "sh", "-c", script + ` && shift && exec chroot "$@"`, "sh", dir}, change, []string{dir}, serve,
		[]string{"--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"})
	return exec.CommandContext(t.Context(), unshare, args...)
}

func edit(t *testing.T, path, from, to string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(text, []byte(from)) {
		t.Fatalf("%s has no %q: %v", path, from, err)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(text, []byte(from), []byte(to)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The deb is installed into a root of its own, without the scripts, which need a shell and systemd there.
func TestTheDebInstallsRunsAndLeavesOnlyConfigurationAndState(t *testing.T) {
	deb := file(t, "_linux_"+runtime.GOARCH+".deb")
	asRoot(t)
	dpkg, err := exec.LookPath("dpkg")
	if err != nil {
		t.Skip(err)
	}
	dir := own(t)
	for _, name := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/easymicro"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "var/lib/dpkg/status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		args = append([]string{"--root=" + dir, "--force-script-chrootless", "--log=/dev/null"}, args...)
		if out, err := exec.CommandContext(t.Context(), dpkg, args...).CombinedOutput(); err != nil {
			t.Fatalf("dpkg %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("--install", deb)
	for _, name := range []string{
		"usr/bin/easymicro", "usr/lib/systemd/system/easymicro.service", "usr/share/man/man1/easymicro-serve.1.gz",
		"usr/share/bash-completion/completions/easymicro", "usr/share/zsh/vendor-completions/_easymicro", "usr/share/doc/easymicro/copyright",
	} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "usr/share/zsh/site-functions")); err == nil {
		t.Error("the deb has the completions of the rpm, too")
	}

	cmd := inRoot(t, dir, "true", nil, unitCommand(t, dir))
	cmd.Env = []string{"STATE_DIRECTORY=/var/lib/easymicro", "PATH=" + os.Getenv("PATH")}
	h := start(t, cmd)
	address := h.address()
	h.call(address)
	edit(t, filepath.Join(dir, "etc/easymicro/policies.yaml"), "burst: 1000", "burst: 2000")
	h.await("configuration reloaded")
	h.call(address)
	h.end()

	run("--remove", "easymicro")
	left := filesIn(t, dir)
	for _, name := range left {
		if !strings.HasPrefix(name, "etc/easymicro/") && !strings.HasPrefix(name, "var/lib/easymicro/") && !strings.HasPrefix(name, "var/lib/dpkg/") {
			t.Errorf("the removed package leaves %s", name)
		}
	}
	if !slices.Contains(left, "etc/easymicro/policies.yaml") || !slices.ContainsFunc(left, func(name string) bool { return strings.HasPrefix(name, "var/lib/easymicro/") }) {
		t.Errorf("configuration or state is gone: %v", left)
	}
}

// unitCommand returns the command line of the installed unit.
func unitCommand(t *testing.T, dir string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "usr/lib/systemd/system/easymicro.service"))
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(text), "\nExecStart=")
	line, _, _ = strings.Cut(line, "\n")
	return strings.Fields(line)
}

func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		names = append(names, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
