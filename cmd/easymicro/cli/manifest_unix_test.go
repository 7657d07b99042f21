//go:build unix

package cli_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Commands report pipes, devices and huge files at once instead of reading them.
func TestIrregularFilesDoNotBlockCommands(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := syscall.Mkfifo(at("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	save(t, at("huge"), "")
	if err := os.Truncate(at("huge"), 2<<30); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", at("zero")); err != nil {
		t.Fatal(err)
	}
	save(t, at("admin.yaml"), "admin: {address: '127.0.0.1:1', tokenFile: pipe}\nservices: []\n")
	save(t, at("nodes.yaml"), "services: []\nupstreams: [{name: a, service: A, resolve: {file: pipe}}]\n")
	save(t, at("policies.yaml"), "services: []\npolicies: {files: [pipe]}\n")
	path, err := exec.LookPath("easymicro")
	if err != nil {
		t.Fatal(err)
	}
	const call, etcd = "call A.B --address 127.0.0.1:1 ", "list --etcd http://127.0.0.1:1 "
	for line, want := range map[string]string{
		"status -c admin.yaml":       "(admin.tokenFile): pipe is a pipe, not a file",
		"validate -c nodes.yaml":     "upstreams[0].resolve.file: pipe is a pipe, not a file",
		"status -c pipe":             "is a pipe, not a file",
		"validate pipe":              "pipe: is a pipe, not a file",
		"validate huge":              "huge: has 2147483648 bytes: the limit is 1 MiB",
		"validate -c policies.yaml":  "policies.files[0]: pipe is a pipe, not a file",
		"serve -c pipe":              "is a pipe, not a file",
		call + "--token-file huge":   "--token-file: huge has 2147483648 bytes: the limit is 64 KiB",
		call + "--token-file zero":   "--token-file: zero is too large: the limit is 64 KiB",
		call + "--token-file .":      "--token-file: . is a directory, not a file",
		call + "@huge":               "the argument: huge has 2147483648 bytes: the limit is 64 MiB",
		call + "@zero":               "the argument: zero is too large: the limit is 64 MiB",
		call + "-":                   "the argument: standard input is too large: the limit is 64 MiB",
		etcd + "--etcd-ca-file zero": "--etcd-ca-file: zero is too large: the limit is 1 MiB",
		etcd + "--etcd-cert-file huge --etcd-key-file zero":      "--etcd-cert-file: huge has 2147483648 bytes: the limit is 1 MiB",
		etcd + "--etcd-user-file zero --etcd-password-file huge": "--etcd-user-file: zero is too large: the limit is 64 KiB",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, path, strings.Fields(line)...)
		cmd.Dir = dir
		if strings.HasSuffix(line, " -") {
			zero, err := os.Open("/dev/zero")
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdin = zero
		}
		out, err := cmd.CombinedOutput()
		if err == nil || ctx.Err() != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, want %s\n%s", line, err, want, out)
		}
		cancel()
	}
}

// A shell passes a pipe for <(…).
func TestTokenFileMayBeAPipe(t *testing.T) {
	path, err := exec.LookPath("easymicro")
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, "call", "A.B", "--address", "127.0.0.1:1", "--token-file", "/dev/fd/3", "@/dev/stdin")
	cmd.ExtraFiles, cmd.Stdin = []*os.File{r}, strings.NewReader(`{"a":1}`)
	_, _ = w.WriteString("secret\n")
	_ = w.Close()
	out, _ := cmd.CombinedOutput()
	if text := string(out); !strings.Contains(text, "127.0.0.1:1") || strings.Contains(text, "--token-file") || strings.Contains(text, "argument") {
		t.Errorf("it does not get to the call: %s", text)
	}
}
