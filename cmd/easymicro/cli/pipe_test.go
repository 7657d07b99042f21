//go:build unix

package cli_test

import (
	"bufio"
	"net/http"
	"os/exec"
	"regexp"
	"syscall"
	"testing"
)

// A reader of the screen that goes away, as in `easymicro serve | head -3`, takes no host down.
func TestAScreenThatNobodyReadsIsNoEnd(t *testing.T) {
	dir := writeSet(t, "rules: [{name: a, match: {service: Desk}, timeout: 1s}]")
	path, err := exec.LookPath("easymicro")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "serve", "-c", dir+"/easymicro.yaml", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
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
	if log.await(regexp.MustCompile(`reload applied`), nil) == nil {
		t.Fatalf("not applied: %s", log)
	}
	save(t, dir+"/p.yaml", "rules: [{name: a, match: {service: Desk}, timeout: 3s}]")
	if log.await(regexp.MustCompile(`reload applied`), nil) == nil {
		t.Fatalf("not applied: %s", log)
	}
	res, err := http.Get(admin + "/livez")
	if err != nil {
		t.Fatalf("the host is gone: %v\n%s", err, log)
	}
	_ = res.Body.Close()
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log)
	}
}
