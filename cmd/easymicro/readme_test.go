package main

import (
	"bufio"
	"bytes"
	"context"
	"go/format"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
)

const (
	ownModule  = "example.com/shop"
	ownGoLines = 30               // of Go allowed in the README for a handler and its host
	ownTimeout = 60 * time.Second // for each program, once it is built
)

// The code in "Your own handlers" of the README is built into a host, run and called.
func TestReadmeHandlersRun(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program: nothing here races")
	}
	section := readmeSection(t, "Your own handlers")
	dir := t.TempDir()
	lines := writeFiles(t, dir, section)
	if lines == 0 || lines > ownGoLines {
		t.Errorf("the README shows %d lines of Go, and promises at most %d", lines, ownGoLines)
	}
	writeModule(t, dir)
	program := build(t, dir)
	url := serve(t, dir, program)

	calls := curlCalls(section)
	if len(calls) == 0 {
		t.Fatal("the section calls nothing with curl")
	}
	for _, c := range calls {
		if got := post(t, url+c.path, c.body); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.path, c.body, got, c.want)
		}
		method := strings.ReplaceAll(strings.Trim(c.path, "/"), "/", ".")
		call := exec.CommandContext(t.Context(), program, "call", "--address", strings.TrimPrefix(url, "http://"), method, c.body)
		call.Dir = dir
		if got, err := call.CombinedOutput(); err != nil || strings.TrimSpace(string(got)) != c.want {
			t.Errorf("call %s %s: %s %v, want %s", method, c.body, got, err, c.want)
		}
	}
}

// The tables of kinds have all of them, in the order of evaluation.
func TestReadmeTablesHaveEveryKind(t *testing.T) {
	for head, want := range map[string][]config.Kind{
		"kind | what it does | a refused call gets": config.ServerKinds(), "client-side kind | what it does": config.ClientKinds(),
		"a broken | enforced | in shadow": config.Kinds(), "kind | the forecast": config.ServerKinds(),
	} {
		_, table, _ := strings.Cut(readme(t), "\n| "+head+" |\n")
		table, _, _ = strings.Cut(table, "\n\n")
		var got []config.Kind
		for _, m := range kindRow.FindAllStringSubmatch(table, -1) {
			got = append(got, config.Kind(m[1]))
		}
		if !slices.Equal(got, want) {
			t.Errorf("the table %q has %v, want %v", head, got, want)
		}
	}
}

var kindRow = regexp.MustCompile("(?m)^\\| `(\\w+)` \\|")

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func readmeSection(t *testing.T, title string) string {
	t.Helper()
	_, section, ok := strings.Cut(readme(t), "\n## "+title+"\n")
	if !ok {
		t.Fatalf("README.md has no section %q", title)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

var fileBlock = regexp.MustCompile("(?ms)^```(go|yaml)\n(?://|#) (\\S+)\n(.*?)^```$")

// writeFiles writes the blocks whose first line names a file, and counts the lines of Go.
func writeFiles(t *testing.T, dir, section string) (goLines int) {
	t.Helper()
	for _, block := range fileBlock.FindAllStringSubmatch(section, -1) {
		language, name, text := block[1], block[2], block[3]
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if language == "go" {
			goLines += 1 + strings.Count(text, "\n")
			if formatted, err := format.Source([]byte(text)); err != nil || string(formatted) != text {
				t.Errorf("%s is not as gofmt has it: %v", name, err)
			}
		}
	}
	return goLines
}

// writeModule writes the go.mod that go mod tidy would, for this working copy and without a network.
func writeModule(t *testing.T, dir string) {
	t.Helper()
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	mod := strings.Replace(string(ours), "module "+module, "module "+ownModule, 1) +
		"\nrequire " + module + " v0.0.0\n\nreplace " + module + " => " + strconv.Quote(abs) + "\n"
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o600); err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o600); err != nil {
		t.Fatal(err)
	}
}

func build(t *testing.T, dir string) (program string) {
	t.Helper()
	program = filepath.Join(dir, "shop")
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

var httpAddress = regexp.MustCompile(`http://[0-9.:]+/`)

// serve runs the host on free ports until the test ends, and returns the address that it prints.
func serve(t *testing.T, dir, program string) (url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), ownTimeout)
	cmd := exec.CommandContext(ctx, program, "serve", "--screen", "on", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
	cmd.Dir = dir
	if runtime.GOOS != "windows" {
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	}
	cmd.WaitDelay = ownTimeout
	var log bytes.Buffer
	cmd.Stderr = &log
	screen, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_, _ = io.Copy(io.Discard, screen)
		_ = cmd.Wait() // killed by the cancellation
		if code := cmd.ProcessState.ExitCode(); code != 0 && runtime.GOOS != "windows" {
			t.Errorf("the host ended with %d\n%s", code, log.String())
		}
	})
	for lines := bufio.NewScanner(screen); lines.Scan(); {
		if line, ok := strings.CutPrefix(lines.Text(), "try "); ok {
			return strings.TrimSuffix(httpAddress.FindString(line), "/")
		}
	}
	t.Fatalf("the host printed nothing to try\n%s", log.String())
	return ""
}

type curlCall struct{ path, body, want string }

var curlLine = regexp.MustCompile(`(?m)^\$ curl -d '([^']*)' http://127\.0\.0\.1:8972(/\S+)\n(.*)$`)

// curlCalls returns the calls of the section with the output that the README shows.
func curlCalls(section string) (calls []curlCall) {
	for _, m := range curlLine.FindAllStringSubmatch(section, -1) {
		calls = append(calls, curlCall{body: m[1], path: m[2], want: m[3]})
	}
	return calls
}

func post(t *testing.T, url, body string) string {
	t.Helper()
	res, err := http.Post(url, "application/x-www-form-urlencoded", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}
