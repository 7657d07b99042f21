package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// typing is a shell on a terminal and its input.
type typing struct {
	t     *testing.T
	keys  *os.File
	seen  *stream
	ended chan struct{}
}

// bash starts a shell in dir without startup files, with the completion of easymicro.
func bash(t *testing.T, dir string) *typing {
	t.Helper()
	path, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	ours, theirs := openTerminal(t)
	cmd := exec.Command(path, "--norc", "--noprofile", "-i")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TERM=dumb", "PS1=> ", "HISTFILE=", "INPUTRC=/dev/null", "HOME="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	b := &typing{t: t, keys: ours, seen: newStream(), ended: make(chan struct{})}
	go b.watch(ours)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		<-b.ended
	})
	b.typed("source <(easymicro completion bash) && echo ready | tr a-z A-Z\n", `READY`)
	return b
}

func (b *typing) watch(screen *os.File) {
	defer close(b.ended)
	buf := make([]byte, 4096)
	for {
		n, err := screen.Read(buf)
		_, _ = b.seen.Write(buf[:n])
		if err != nil {
			return
		}
	}
}

// typed types text and waits for the completion.
func (b *typing) typed(keys, want string) {
	b.t.Helper()
	if _, err := b.keys.WriteString(keys); err != nil {
		b.t.Fatal(err)
	}
	if b.seen.await(regexp.MustCompile(want), b.ended) == nil {
		b.t.Fatalf("%q makes no %s of\n%s", keys, want, b.seen)
	}
}

// The script alone completes in bash: words with @ : and =, and files too.
func TestBashCompletesWithoutBashCompletion(t *testing.T) {
	dir := writeSet(t, "rules: [{name: desk-mul, match: {service: Desk}, timeout: 1s}]")
	save(t, filepath.Join(dir, "other.txt"), "")
	save(t, filepath.Join(dir, "my rules.yaml"), "")
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	all, _ := journal(t, dir, "--screen", "on")
	at := all.await(regexp.MustCompile(`admin (http://\S+)`), nil)
	if at == nil {
		t.Fatalf("the host does not serve:\n%s", all)
	}
	t.Setenv("EASYMICRO_ADMIN", at[1])
	b := bash(t, dir)
	const clearLine = "\x15"
	for _, tt := range []struct{ keys, want string }{
		{"easymicro vers\t", `easymicro version `},
		{"easymicro describe --prefi\t", `--prefix `},
		{"easymicro call Desk.Mu\t", `Desk\.Mul `},
		{"easymicro call Desk/Mu\t", `Desk/Mul `},
		{"easymicro call Desk.Mul --codec=m\t", `--codec=msgpack `},
		{"easymicro explain desk-m\t", `desk-mul@r1 `},
		{"easymicro list --etcd http:\t", `--etcd http://127.0.0.1:2379 `},
		{"easymicro serve -c e\t", `-c easymicro.yaml `},
		{"easymicro serve -c m\t", `-c my\\ rules\.yaml `},
		{"easymicro serve -c fo\tx", `-c folder/x`},
	} {
		b.typed(tt.keys, tt.want)
		b.typed(clearLine+"echo cleared | tr a-z A-Z\n", `CLEARED`)
	}
	b.typed("easymicro explain desk-mul@\t\n", `desk-mul@r1   p.yaml:1   in force`)
	if text := b.seen.String(); strings.Contains(text, "command not found") || strings.Contains(text, "syntax error") {
		t.Error(text)
	}
}
