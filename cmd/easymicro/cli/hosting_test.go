package cli_test

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

const patience = 15 * time.Second

// stream collects the output of a process and wakes waiters.
type stream struct {
	mu    sync.Mutex
	text  string
	read  int // end of the previous match
	grown chan struct{}
}

func newStream() *stream { return &stream{grown: make(chan struct{})} }

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text += string(p)
	close(s.grown)
	s.grown = make(chan struct{})
	return len(p), nil
}

// await waits for a match after the previous one, and returns its groups, or nil after a timeout.
func (s *stream) await(re *regexp.Regexp, ended <-chan struct{}) []string {
	late := time.After(patience)
	for over := false; ; {
		s.mu.Lock()
		grown, rest := s.grown, s.text[s.read:]
		if at := re.FindStringSubmatchIndex(rest); at != nil {
			s.read += at[1]
			s.mu.Unlock()
			return re.FindStringSubmatch(rest)
		}
		s.mu.Unlock()
		if over {
			return nil
		}
		select {
		case <-grown:
		case <-ended:
			over = true
		case <-late:
			over = true
		}
	}
}

func (s *stream) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text
}

// hosting is the host of a script.
type hosting struct {
	cmd         *exec.Cmd
	screen, log *stream
	ended       chan struct{}
	code        int
}

var (
	hosts   = map[string]*hosting{} // by the directory of their script
	hostsMu sync.Mutex
)

func hostOf(ts *testscript.TestScript) *hosting {
	hostsMu.Lock()
	defer hostsMu.Unlock()
	h := hosts[ts.Getenv("WORK")]
	if h == nil {
		ts.Fatalf("serve must run first")
	}
	return h
}

// serve starts a host, or another command that runs one, on free ports, and waits until it is ready. With the variable
// IGNORED it starts with SIGINT ignored, like a background job of a script.
func serve(ts *testscript.TestScript, _ bool, args []string) {
	path, err := exec.LookPath("easymicro")
	ts.Check(err)
	if len(args) == 0 || args[0] != "gateway" {
		args = append([]string{"serve"}, args...)
	}
	for _, flag := range []string{"--listen", "--admin-listen"} {
		if !strings.Contains(strings.Join(args, " ")+" ", flag+" ") {
			args = append(args, flag, "127.0.0.1:0")
		}
	}
	h := &hosting{screen: newStream(), log: newStream(), ended: make(chan struct{})}
	h.cmd = exec.Command(path, args...)
	if ts.Getenv("IGNORED") != "" {
		h.cmd = exec.Command("sh", append([]string{"-c", `trap "" INT && exec "$0" "$@"`, path}, args...)...)
	}
	h.cmd.Dir = ts.MkAbs(".")
	h.cmd.Stdout, h.cmd.Stderr = h.screen, h.log
	h.cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"), "EASYMICRO_SCREEN=on")
	for _, name := range []string{"EASYMICRO_NAME", "EASYMICRO_LOG_LEVEL", "EASYMICRO_LOG_FORMAT", "EASYMICRO_LISTN"} {
		if value := ts.Getenv(name); value != "" {
			h.cmd.Env = append(h.cmd.Env, name+"="+value)
		}
	}
	ts.Check(h.cmd.Start())
	go func() {
		defer close(h.ended)
		var exit *exec.ExitError
		if err := h.cmd.Wait(); errors.As(err, &exit) {
			h.code = exit.ExitCode()
		}
	}()
	hostsMu.Lock()
	hosts[ts.Getenv("WORK")] = h
	hostsMu.Unlock()
	ts.Defer(func() {
		_ = h.cmd.Process.Kill()
		<-h.ended
		ts.Logf("[screen]\n%s[log]\n%s", h.screen, h.log)
	})
	if at := h.screen.await(regexp.MustCompile(`\+http ([^ ,"\n]+)`), h.ended); at != nil {
		ts.Setenv("ADDR", at[1])
	} else {
		ts.Fatalf("the host does not serve:\n%s\n%s", h.screen, h.log)
	}
	if at := h.screen.await(regexp.MustCompile(`(?:admin |"admin":")((?:http|unix)://[^ "\n]+)`), h.ended); at != nil {
		ts.Setenv("EASYMICRO_ADMIN", at[1])
	}
}

func onScreen(ts *testscript.TestScript, _ bool, args []string) { await(ts, hostOf(ts).screen, args) }

func inLog(ts *testscript.TestScript, _ bool, args []string) { await(ts, hostOf(ts).log, args) }

func await(ts *testscript.TestScript, s *stream, args []string) {
	re, err := regexp.Compile(`(?m)` + strings.Join(args, " "))
	ts.Check(err)
	if s.await(re, hostOf(ts).ended) == nil {
		ts.Fatalf("no %s in\n%s", re, s)
	}
}

func absent(ts *testscript.TestScript, _ bool, args []string) {
	if text := hostOf(ts).screen.String(); strings.Contains(text, args[0]) {
		ts.Fatalf("%q in\n%s", args[0], text)
	}
}

func once(ts *testscript.TestScript, _ bool, args []string) {
	if text := hostOf(ts).screen.String(); strings.Count(text, args[0]) != 1 {
		ts.Fatalf("%q is not once in\n%s", args[0], text)
	}
}

var byName = map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP}

func send(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(hostOf(ts).cmd.Process.Signal(byName[args[0]]))
}

// ended waits for the host to end; -1 means by a signal.
func ended(ts *testscript.TestScript, _ bool, args []string) {
	h := hostOf(ts)
	select {
	case <-h.ended:
	case <-time.After(patience):
		ts.Fatalf("the host has not ended")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if h.code != want {
		ts.Fatalf("the host ended with %d, want %d", h.code, want)
	}
}

const hosted = "services: [{name: Desk, handler: test.desk}]\npolicies: {files: [p.yaml]}\n"

func writeSet(t *testing.T, rule string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	save(t, dir+"/easymicro.yaml", hosted)
	save(t, dir+"/p.yaml", rule)
	return dir
}

func save(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
