package cli_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"
	"unsafe"
)

// openTerminal returns both ends of a pseudo-terminal.
func openTerminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	var number, unlock int32
	for request, value := range map[uintptr]*int32{syscall.TIOCSPTLCK: &unlock, syscall.TIOCGPTN: &number} {
		if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, ours.Fd(), request, uintptr(unsafe.Pointer(value))); e != 0 {
			t.Skip("no pseudo-terminals here: ", e)
		}
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	t.Cleanup(func() { _ = theirs.Close() })
	return ours, theirs
}

// onTerminal runs easymicro with its output on a terminal, and returns what the terminal shows.
func onTerminal(t *testing.T, env []string, args ...string) (*exec.Cmd, *stream, chan struct{}) {
	t.Helper()
	return onTerminalOf(t, 0, env, args...)
}

// onTerminalOf is onTerminal with a number of columns; 0 leaves the size unset.
func onTerminalOf(t *testing.T, columns uint16, env []string, args ...string) (*exec.Cmd, *stream, chan struct{}) {
	t.Helper()
	path, err := exec.LookPath("easymicro")
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := openTerminal(t)
	size := [4]uint16{24, columns}
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, ours.Fd(), syscall.TIOCSWINSZ, uintptr(unsafe.Pointer(&size))); e != 0 {
		t.Fatal(e)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(append(os.Environ(), "TERM=xterm"), env...)
	cmd.Stdout, cmd.Stderr = theirs, theirs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	seen, ended := newStream(), make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 4096)
		for {
			n, err := ours.Read(buf)
			_, _ = seen.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		<-ended
	})
	return cmd, seen, ended
}

// On one terminal the screen and the log do not repeat each other.
func TestTerminalShowsEachEditOnce(t *testing.T) {
	dir := writeSet(t, "rules: [{name: a, match: {service: Desk}, timeout: 1s}]")
	cmd, seen, ended := onTerminal(t, nil, "serve", "-c", dir+"/easymicro.yaml", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
	wait := func(re string) {
		t.Helper()
		if seen.await(regexp.MustCompile(re), ended) == nil {
			t.Fatalf("no %s in\n%s", re, seen)
		}
	}
	wait(`watch this screen`)
	save(t, dir+"/p.yaml", "rules: [{name: a, match: {service: Desk}, timeout: 2s}, {name: b, match: {service: Dsk}, timeout: 2s}]")
	wait("\x1b\\[32mr2 applied\x1b\\[0m in .*timeout 1s → 2s")
	save(t, dir+"/p.yaml", "rules: [{name: a, match: {service: Desk}, timout: 2s}]")
	wait("\x1b\\[31mrejected\x1b\\[0m, r2 keeps running: [12] problems?")
	wait("  p.yaml:1:.*did you mean timeout")
	_ = cmd.Process.Signal(syscall.SIGTERM)
	wait("draining")
	wait("stopped")
	text := seen.String()
	for what, want := range map[string]int{"timeout 1s → 2s": 1, "did you mean timeout": 1, "did you mean Desk": 1, "listening": 0, "applied": 1} {
		if got := strings.Count(text, what); got != want {
			t.Errorf("%q occurs %d times, want %d", what, got, want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// Without the screen the log has everything, even on a terminal.
func TestTerminalWithoutScreenHasTheLog(t *testing.T) {
	dir := writeSet(t, "rules: [{name: a, match: {service: Desk}, timeout: 1s}]")
	_, seen, ended := onTerminal(t, []string{"EASYMICRO_SCREEN=off"},
		"serve", "-c", dir+"/easymicro.yaml", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
	wait := func(re string) {
		t.Helper()
		if seen.await(regexp.MustCompile(re), ended) == nil {
			t.Fatalf("no %s in\n%s", re, seen)
		}
	}
	wait(`serving.*Desk \(Mul, Div, `)
	save(t, dir+"/p.yaml", "rules: [{name: a, match: {service: Desk}, timeout: 2s}]")
	wait(`configuration reloaded.*timeout 1s → 2s`)
	if text := seen.String(); strings.Contains(text, "watch this screen") || strings.Contains(text, "applied in") {
		t.Error(text)
	}
}

func TestColoursOnlyOnTerminalsThatAllowThem(t *testing.T) {
	for _, tt := range []struct {
		env, flag string
		coloured  bool
	}{
		{"", "", true}, {"NO_COLOR=1", "", false}, {"EASYMICRO_NO_COLOR=true", "", false}, {"TERM=dumb", "", false}, {"", "--no-color", false},
	} {
		args := []string{"help"}
		if tt.flag != "" {
			args = append(args, tt.flag)
		}
		_, seen, ended := onTerminal(t, []string{tt.env}, args...)
		<-ended
		if text := seen.String(); strings.Contains(text, "\x1b[") != tt.coloured || !strings.Contains(text, "Inspect a running host") {
			t.Errorf("%+v: %q", tt, text)
		}
	}
}

// Help fits the terminal, and its commands can be pasted.
func TestHelpFitsTheTerminal(t *testing.T) {
	const narrow, tiny = 60, 40
	longest := func(text string) (most int) {
		for line := range strings.Lines(text) {
			line = strings.TrimRight(regexp.MustCompile("\x1b\\[[0-9]*m").ReplaceAllString(line, ""), "\r\n")
			most = max(most, utf8.RuneCountInString(line))
		}
		return most
	}
	for _, command := range []string{"", "serve", "gateway", "call", "explain", "completion", "status", "validate"} {
		args := strings.Fields("help " + command)
		for _, columns := range []uint16{narrow, tiny} {
			_, seen, ended := onTerminalOf(t, columns, nil, args...)
			<-ended
			if n := longest(seen.String()); columns == narrow && n > narrow || n < tiny/2 {
				t.Errorf("%v has %d of %d columns:\n%s", args, n, columns, seen)
			}
		}
		_, seen, ended := onTerminalOf(t, 200, nil, args...)
		<-ended
		if n := longest(seen.String()); n < 70 || strings.Contains(seen.String(), " \\\r\n") {
			t.Errorf("%v is broken though there is room:\n%s", args, seen)
		}
	}
	_, seen, ended := onTerminalOf(t, narrow, nil, "help", "call")
	<-ended
	for _, want := range []string{
		"  echo '{\"a\":1,\"b\":2}' | easymicro call Arith.Mul - \\\r\n      --address", "\r\n                                  the first listener of the\r\n",
	} {
		if !strings.Contains(seen.String(), want) {
			t.Errorf("no %q in\n%s", want, seen)
		}
	}
}
