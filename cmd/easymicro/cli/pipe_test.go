//go:build unix

package cli_test

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// A host survives the end of the reader of its screen, as in `easymicro serve | head -3`.
func TestClosedScreenDoesNotEndTheHost(t *testing.T) {
	dir := writeSet(t, "rules: [{name: a, match: {service: Desk}, timeout: 1s}]")
	path, err := exec.LookPath("easymicro")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "serve", "-c", dir+"/easymicro.yaml", "--screen", "on", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
	log := newStream()
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	admin := regexp.MustCompile(`http://\S+`).FindString(line)
	_ = out.Close()

	save(t, dir+"/p.yaml", "rules: [{name: a, match: {service: Desk}, timeout: 2s}]")
	if log.await(regexp.MustCompile(`configuration reloaded`), nil) == nil {
		t.Fatalf("not applied: %s", log)
	}
	save(t, dir+"/p.yaml", "rules: [{name: a, match: {service: Desk}, timeout: 3s}]")
	if log.await(regexp.MustCompile(`configuration reloaded`), nil) == nil {
		t.Fatalf("not applied: %s", log)
	}
	res, err := http.Get(admin + "/livez")
	if err != nil {
		t.Fatalf("the host has ended: %v\n%s", err, log)
	}
	_ = res.Body.Close()
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log)
	}
}

// journal runs a host with stdout and stderr in one file that is not a terminal, like a service.
func journal(t *testing.T, dir string, flags ...string) (all *stream, wait func(re string)) {
	t.Helper()
	path, err := exec.LookPath("easymicro")
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"serve", "-c", dir + "/easymicro.yaml", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}
	cmd := exec.Command(path, append(args, flags...)...)
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	all, ended := newStream(), make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(all, r)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, all)
		}
	})
	return all, func(re string) {
		t.Helper()
		if all.await(regexp.MustCompile(re), ended) == nil {
			t.Fatalf("no %s in\n%s", re, all)
		}
	}
}

// logged matches what the log has beside the screen, except warnings.
var logged = regexp.MustCompile(`.*"level":"(INFO|ERROR)".*`)

// A journal of both streams has each edit once: from the log, or from the screen if that is on.
func TestJournalHasEachEditOnce(t *testing.T) {
	for _, tt := range []struct {
		flags                             []string
		start, applied, rejected, nothing string
	}{
		{
			nil, `"msg":"serving","services":\["Desk \(Mul, .*"try":"curl -d .*"edit":"[^"]*p.yaml"`, `"msg":"configuration reloaded".*timeout 1s → 2s`,
			`"msg":"configuration rejected.*p.yaml:1:[0-9]+: .*did you mean timeout`, `"msg":"configuration unchanged"`,
		},
		{
			[]string{"--screen", "on"},
			`watch this screen`, `r2 applied in .*timeout 1s → 2s`, `rejected, r2 keeps running: 1 problem\n  p.yaml:1:.*did you mean timeout`,
			`r2 keeps running: nothing changed`,
		},
	} {
		dir := writeSet(t, "rules: [{name: a, match: {service: Desk}, timeout: 1s}]")
		all, wait := journal(t, dir, tt.flags...)
		wait(tt.start)
		good := "rules: [{name: a, match: {service: Desk}, timeout: 2s}, {name: b, match: {service: Dsk}, timeout: 2s}]"
		save(t, dir+"/p.yaml", good)
		wait(tt.applied)
		replace(t, dir+"/p.yaml", "rules: [{name: a, match: {service: Desk}, timout: 2s}]")
		wait(tt.rejected)
		replace(t, dir+"/p.yaml", good)
		wait(tt.nothing)
		for what, want := range map[string]int{"timeout 1s → 2s": 1, "did you mean timeout": 1, "did you mean Desk": 1, "curl -d ": 1, "nothing changed|configuration unchanged": 1} {
			if got := len(regexp.MustCompile(what).FindAllString(all.String(), -1)); got != want {
				t.Errorf("%v: %q occurs %d times, want %d in\n%s", tt.flags, what, got, want, all)
			}
		}
		if lines := logged.FindAllString(all.String(), -1); tt.flags != nil && lines != nil {
			t.Errorf("the screen does not replace %q: has the host changed its messages?", lines)
		}
	}
}

// The same holds for a fallback that is used at the start.
func TestJournalHasAFallbackOnce(t *testing.T) {
	for _, flags := range [][]string{nil, {"--screen", "on"}} {
		dir := writeSet(t, "rules: [{name: a, match: {service: Desk}, timeout: 1x}]")
		save(t, dir+"/easymicro.yaml", strings.Replace(hosted, "[p.yaml]", "[p.yaml], fallback: [baked.yaml]", 1))
		save(t, dir+"/baked.yaml", "rules: [{name: b, match: {service: Desk}, timeout: 1s}]")
		all, wait := journal(t, dir, flags...)
		wait("must be a duration")
		for _, what := range []string{"fix", "must be a duration"} {
			if got := strings.Count(all.String(), what); got != 1 {
				t.Errorf("%v: %q occurs %d times in\n%s", flags, what, got, all)
			}
		}
	}
}

// The variable may be meant for other commands.
func TestOutputVariableDoesNotTurnTheScreenOn(t *testing.T) {
	t.Setenv("EASYMICRO_OUTPUT", "json")
	_, wait := journal(t, writeSet(t, "rules: [{name: a, match: {service: Desk}, timeout: 1s}]"))
	wait(`"msg":"serving"`) // otherwise shown by the screen
}

// replace saves by renaming, like editors that never leave a partial file.
func replace(t *testing.T, path, text string) {
	t.Helper()
	save(t, path+".new", text)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
