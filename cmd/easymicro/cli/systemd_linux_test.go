package cli_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const underSystemd = `
host: {shutdown: {drainDelay: 0s}}
listeners: [{name: main, address: "systemd:main"}]
admin: {address: "systemd:admin", tokenFile: token}
health: {address: "systemd:health"}
services: [{name: Desk, handler: test.desk}]
policies: {files: [p.yaml]}
`

// manager is what systemd is to a service: it receives notifications.
type manager struct {
	t  *testing.T
	at *net.UnixConn
}

// await waits for a notification.
func (m *manager) await(re string) []string {
	m.t.Helper()
	buf, compiled, seen := make([]byte, 4096), regexp.MustCompile(re), []string{}
	check(m.t, m.at.SetReadDeadline(time.Now().Add(4*patience)))
	for {
		n, err := m.at.Read(buf)
		if err != nil {
			m.t.Fatalf("no %s: %v after %q", re, err, seen)
		}
		if found := compiled.FindStringSubmatch(string(buf[:n])); found != nil {
			return found
		}
		seen = append(seen, string(buf[:n]))
	}
}

// wake connects to a socket once it is there: the process starts with the first connection.
func wake(t *testing.T, path string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(4 * patience); time.Now().Before(end); <-tick.C {
		if conn, err := net.Dial("unix", path); err == nil {
			_ = conn.Close()
			return
		}
	}
	t.Fatalf("nothing listens at %s", path)
}

// A host gets its sockets from systemd, tells it of each change of its state, and passes both on to the next process.
func TestAHostUnderSystemd(t *testing.T) {
	activate, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		t.Skip(err)
	}
	program, err := exec.LookPath("easymicro")
	check(t, err)
	dir, err := os.MkdirTemp("", "sd") //nolint:usetesting // short: it is part of the paths of sockets
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	save(t, dir+"/easymicro.yaml", underSystemd)
	save(t, dir+"/p.yaml", "rules: []")
	save(t, dir+"/token", "0123456789abcdef0123456789abcdef")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/notify", Net: "unixgram"})
	check(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	m := &manager{t, conn}
	cmd := exec.Command(
		activate, "-l", dir+"/main", "-l", dir+"/admin", "-l", dir+"/health", "--fdname=main:admin:health",
		"-E", "NOTIFY_SOCKET="+dir+"/notify", "-E", "WATCHDOG_USEC=200000", "-E", "PATH="+filepath.Dir(program),
		program, "serve", "--log-format", "json",
	)
	cmd.Dir = dir
	log, err := os.Create(dir + "/log") // a pipe would keep Wait waiting for the next process
	check(t, err)
	cmd.Stdout, cmd.Stderr = log, log
	check(t, cmd.Start())
	_ = log.Close()
	pid := cmd.Process.Pid
	t.Cleanup(func() {
		_ = syscall.Kill(pid, syscall.SIGTERM)
		_ = cmd.Wait()
		if text, _ := os.ReadFile(dir + "/log"); t.Failed() {
			t.Logf("%s", text)
		}
	})
	to := func(socket string) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, socket))
		}
	}
	post := overHTTP("x", to("main"), true)
	wake(t, dir+"/main")
	m.await(`^READY=1`)
	check(t, post())
	m.await(`^WATCHDOG=1`)
	check(t, syscall.Kill(pid, syscall.SIGHUP))
	m.await(`^RELOADING=1\nMONOTONIC_USEC=[0-9]+`)
	m.await(`^READY=1`)

	check(t, syscall.Kill(pid, syscall.SIGUSR2))
	next, err := strconv.Atoi(m.await(`^MAINPID=([0-9]+)`)[1])
	check(t, err)
	if next == pid {
		t.Error("the main process is the old one")
	}
	m.await(`^READY=1`)
	m.await(`^WATCHDOG=1`)
	check(t, cmd.Wait())
	check(t, post())
	health := &http.Client{Transport: &http.Transport{DialContext: to("health")}, Timeout: 4 * patience}
	res, err := health.Get("http://x/readyz")
	check(t, err)
	if _ = res.Body.Close(); res.StatusCode != http.StatusOK {
		t.Errorf("readyz: %s", res.Status)
	}
	pid = next
	check(t, syscall.Kill(pid, syscall.SIGTERM))
	m.await(`^STOPPING=1`)
}

// What systemd has not passed is named, with what to write.
func TestAMissingSocketOfSystemdIsNamed(t *testing.T) {
	dir, err := os.MkdirTemp("", "sd") //nolint:usetesting // short: it is part of the paths of sockets
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	save(t, dir+"/easymicro.yaml", underSystemd)
	save(t, dir+"/p.yaml", "rules: []")
	save(t, dir+"/token", "0123456789abcdef0123456789abcdef")
	program, err := exec.LookPath("easymicro")
	check(t, err)
	wants := map[string]string{"": "systemd has passed no sockets, main is wanted: start the unit by a .socket unit with FileDescriptorName=main"}
	if activate, err := exec.LookPath("systemd-socket-activate"); err == nil {
		wants[activate] = "systemd has passed no socket main, only web: set FileDescriptorName=main in the .socket unit"
	}
	for activate, want := range wants {
		args := []string{program, "serve"}
		if activate != "" {
			args = []string{activate, "-l", dir + "/web", "--fdname=web", "-E", "PATH=" + filepath.Dir(program), program, "serve"}
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		check(t, cmd.Start())
		if activate != "" {
			wake(t, dir+"/web")
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), want) || !strings.Contains(out.String(), "easymicro.yaml:3:") {
			t.Errorf("%v: %s", err, &out)
		}
	}
}
