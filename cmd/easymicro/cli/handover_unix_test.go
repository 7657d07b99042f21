//go:build unix

package cli_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire/client"
)

// handedOver is a host whose process is replaced while it is called.
type handedOver struct {
	t       *testing.T
	dir     string
	program string // a link, which tests replace
	pid     int    // of the process that serves
	log     *stream
	ended   chan struct{} // closed when all processes have ended
	address string
	admin   string // its URL

	stop  context.CancelFunc
	calls sync.WaitGroup
	done  atomic.Int64
	lost  atomic.Int64
}

const toHandOver = `
host: {state: {dir: state}, shutdown: {drainDelay: 0s}}
listeners:
  - {name: main, address: "127.0.0.1:8972"}
  - {name: local, address: "unix://local.sock"}
health: {address: "unix://health.sock"}
services: [{name: Desk, handler: test.desk}]
policies: {files: [p.yaml]}
`

// startHandedOver runs a host of the program "easymicro", by a link to it, and calls it all the time.
func startHandedOver(t *testing.T) *handedOver {
	t.Helper()
	program, err := exec.LookPath("easymicro")
	check(t, err)
	dir, err := os.MkdirTemp("", "ho") //nolint:usetesting // short: it is part of the paths of sockets
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &handedOver{t: t, dir: dir, program: filepath.Join(dir, "easymicro"), log: newStream(), ended: make(chan struct{})}
	check(t, os.Symlink(program, h.program))
	save(t, dir+"/easymicro.yaml", toHandOver)
	save(t, dir+"/p.yaml", "rules: []")
	r, w, err := os.Pipe()
	check(t, err)
	cmd := exec.Command(h.program, "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, w, w
	cmd.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH")) // testscript strips the path of commands
	check(t, cmd.Start())
	_ = w.Close()
	go func() {
		defer close(h.ended)
		_, _ = io.Copy(h.log, r)
	}()
	var exit error
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		exit = cmd.Wait()
	}()
	h.pid = cmd.Process.Pid
	t.Cleanup(func() {
		_ = syscall.Kill(h.pid, syscall.SIGTERM)
		select {
		case <-h.ended:
		case <-time.After(4 * patience):
			t.Error("a process does not end")
			_ = syscall.Kill(h.pid, syscall.SIGKILL)
		}
		if <-waited; exit != nil {
			t.Errorf("the first process: %v", exit)
		}
		if t.Failed() {
			t.Logf("%s", h.log)
		}
	})
	listening := h.await(`"msg":"listening".*rpcx.http (127[0-9.:]+).*"admin":"([^"]+)"`)
	h.address, h.admin = listening[1], listening[2]
	h.load()
	return h
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await waits for a line of the log after the previous one.
func (h *handedOver) await(re string) []string {
	h.t.Helper()
	compiled := regexp.MustCompile(re)
	for range 4 { // a hand-over takes its time
		if found := h.log.await(compiled, h.ended); found != nil {
			return found
		}
	}
	h.t.Fatalf("no %s in\n%s", re, h.log)
	return nil
}

// fixed resolves to one address.
type fixed string

func (f fixed) Watch(ctx context.Context, _ string, update func([]client.Endpoint, error)) error {
	update([]client.Endpoint{{Address: string(f)}}, nil)
	<-ctx.Done()
	return ctx.Err()
}

// load calls the host over rpcx and HTTP, on connections that stay and on new ones, until calm.
func (h *handedOver) load() {
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	c, err := client.New(client.Options{Resolver: fixed(h.address), Codec: "json"})
	check(h.t, err)
	h.t.Cleanup(func() { _ = c.Close() })
	overRPCX := func(method string, args any) func() error {
		return func() error {
			within, cancel := context.WithTimeout(context.Background(), 4*patience)
			defer cancel()
			return c.Call(within, "Desk", method, args, new(Reply))
		}
	}
	local := &net.Dialer{}
	for _, one := range []func() error{
		overRPCX("Mul", &Args{6, 7}), overRPCX("Mul", &Args{6, 7}), overRPCX("Wait", &Pause{MS: 700}),
		overHTTP(h.address, nil, false), overHTTP(h.address, nil, true),
		overHTTP("x", func(ctx context.Context, _, _ string) (net.Conn, error) {
			return local.DialContext(ctx, "unix", h.dir+"/local.sock")
		}, true),
	} {
		h.calls.Go(func() {
			for ctx.Err() == nil {
				h.done.Add(1)
				if err := one(); err != nil {
					h.lost.Add(1)
					h.t.Errorf("%s: a call is lost: %v", time.Now().Format(time.RFC3339Nano), err)
				}
			}
		})
	}
	h.t.Cleanup(h.calm)
}

func overHTTP(address string, dial func(context.Context, string, string) (net.Conn, error), once bool) func() error {
	c := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: once}, Timeout: 4 * patience}
	return func() error {
		res, err := c.Post("http://"+address+"/Desk/Mul", "application/json", strings.NewReader(`{"a":6,"b":7}`))
		if err != nil {
			return err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err == nil && strings.TrimSpace(string(text)) != `{"c":42}` {
			err = fmt.Errorf("%s: %s", res.Status, text)
		}
		return err
	}
}

// calm ends the calls.
func (h *handedOver) calm() {
	h.stop()
	h.calls.Wait()
}

// handOver has the process replaced, and waits until the one before has ended.
func (h *handedOver) handOver() {
	h.t.Helper()
	inFlight := make(chan error, 1)
	go func() { // it is in flight when the new process takes over
		c := &http.Client{Timeout: 4 * patience}
		res, err := c.Post("http://"+h.address+"/Desk/Wait", "application/json", strings.NewReader(`{"ms":3000}`))
		if err == nil {
			if _, err = io.Copy(io.Discard, res.Body); res.StatusCode != http.StatusOK {
				err = errors.New(res.Status)
			}
			_ = res.Body.Close()
		}
		inFlight <- err
	}()
	check(h.t, syscall.Kill(h.pid, syscall.SIGUSR2))
	next := h.await(`"msg":"took over from the process before","pid":([0-9]+)`)[1]
	h.await(`"msg":"stopped","took":"[^"]*","abandoned_calls":0`)
	h.pid, _ = strconv.Atoi(next)
	if err := <-inFlight; err != nil {
		h.t.Errorf("a call in flight is lost: %v", err)
	}
}

// No call is lost while one process after another takes over, and each goes on where the one before has ended.
func TestHandOversLoseNoCall(t *testing.T) {
	t.Parallel()
	n := 10
	if os.Getenv("TEST_EASYMICRO_LONG") != "" {
		n = 100
	}
	h := startHandedOver(t)
	for i := range n {
		h.handOver()
		if i == 1 {
			save(t, h.dir+"/p.yaml", "rules: [{name: a, match: {service: Desk}, timeout: 1h}]")
			h.await(fmt.Sprintf(`"msg":"configuration reloaded","revision":%d,`, i+3)) // each start is a revision
		}
	}
	h.calm()
	if lost, done := h.lost.Load(), h.done.Load(); lost > 0 || done < 100 {
		t.Errorf("%d of %d calls lost", lost, done)
	}
	revisions, err := os.ReadDir(h.dir + "/state/revisions")
	check(t, err)
	if want := min(n+2, 50); len(revisions) != want { // 50 is the default of host.state.history
		t.Errorf("%d revisions on disk, want %d", len(revisions), want)
	}
	for _, socket := range []string{"local.sock", "health.sock"} {
		if _, err := os.Stat(filepath.Join(h.dir, socket)); err != nil {
			t.Errorf("the last process has no socket: %v", err)
		}
	}
	t.Logf("%d calls, %d hand-overs", h.done.Load(), n)
}

// A new process that does not become ready leaves the old one serving, which says why. Meanwhile another hand-over is refused.
func TestAFailedHandOverLosesNoCall(t *testing.T) {
	for _, tt := range []struct{ name, program, manifest, why string }{
		{"dies at the start", "#!/bin/sh\necho the disk is on fire >&2\nexit 7\n", "", `exit status 7\): the disk is on fire`},
		{"ends without a word", "#!/bin/sh\nexit 0\n", "", `exit status 0\) without a word`},
		{"hangs", "#!/bin/sh\necho waiting >&2\nexec sleep 1000\n", "", `not ready within 30s: waiting`},
		{"is no program", "\x00\x01", "", `cannot be started`},
		{"has a broken manifest", "", strings.Replace(toHandOver, "test.desk", "test.dsk", 1), `test.desk`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := startHandedOver(t)
			working, err := os.Readlink(h.program)
			check(t, err)
			if tt.program != "" {
				save(t, h.dir+"/new", tt.program)
				check(t, os.Chmod(h.dir+"/new", 0o700))
				check(t, os.Rename(h.dir+"/new", h.program))
			}
			if tt.manifest != "" {
				save(t, h.dir+"/easymicro.yaml", tt.manifest)
				h.await(`"msg":"configuration rejected`)
			}
			check(t, syscall.Kill(h.pid, syscall.SIGUSR2))
			if tt.name == "hangs" {
				h.await(`"msg":"handing over to a new process"`)
				check(t, syscall.Kill(h.pid, syscall.SIGUSR2))
				h.await(`"msg":"hand-over refused","why":"another process is being started already"`)
			}
			h.await(`"msg":"not handed over: this process serves on","error":".*` + tt.why)
			if tt.manifest != "" {
				save(t, h.dir+"/easymicro.yaml", toHandOver)
			}
			_ = os.Remove(h.program)
			check(t, os.Symlink(working, h.program))
			h.handOver() // it works again
			h.calm()
			if h.lost.Load() > 0 {
				t.Errorf("%d of %d calls lost", h.lost.Load(), h.done.Load())
			}
		})
	}
}

// SIGTERM during a hand-over ends both processes, which finish their calls.
func TestATerminatedHandOverEndsBothProcesses(t *testing.T) {
	t.Parallel()
	h := startHandedOver(t)
	h.calm()
	check(t, syscall.Kill(h.pid, syscall.SIGUSR2))
	h.await(`"msg":"handing over to a new process"`)
	check(t, syscall.Kill(h.pid, syscall.SIGTERM))
	h.await(`"msg":"not handed over: the host is draining"`)
	select {
	case <-h.ended: // no process has standard error any more
	case <-time.After(4 * patience):
		t.Error("a process does not end")
	}
}

// A new process that dies soon after it was ready leaves the old one serving.
func TestANewProcessThatDiesSoonDoesNotTakeOver(t *testing.T) {
	t.Parallel()
	h := startHandedOver(t)
	check(t, syscall.Kill(h.pid, syscall.SIGUSR2))
	pid, err := strconv.Atoi(h.await(`"msg":"handing over to a new process".*"pid":([0-9]+)`)[1])
	check(t, err)
	h.await(`"msg":"configuration applied"`)
	check(t, syscall.Kill(pid, syscall.SIGKILL))
	h.await(`"msg":"not handed over: this process serves on","error":"the new process has ended \(signal: killed\)`)
	h.handOver()
	h.calm()
	if lost, done := h.lost.Load(), h.done.Load(); lost > 0 {
		t.Errorf("%d of %d calls lost", lost, done)
	}
}

// A new process that is told to end before it has taken over leaves the old one serving.
func TestANewProcessThatIsToldToEndDoesNotTakeOver(t *testing.T) {
	t.Parallel()
	h := startHandedOver(t)
	save(t, h.dir+"/easymicro.yaml", strings.Replace(toHandOver, "drainDelay: 0s", "drainDelay: 5s", 1)) // longer than the probation
	h.await(`"msg":"configuration reloaded"`)
	check(t, syscall.Kill(h.pid, syscall.SIGUSR2))
	pid, err := strconv.Atoi(h.await(`"msg":"handing over to a new process".*"pid":([0-9]+)`)[1])
	check(t, err)
	h.await(`"msg":"configuration applied"`)
	check(t, syscall.Kill(pid, syscall.SIGTERM))
	h.await(`"msg":"not handed over: this process serves on","error":"the new process (was told to end|has ended)`)
	h.handOver()
}

// An override does not wait for a new process that is not ready: it ends the hand-over.
func TestAnOverrideEndsAHandOver(t *testing.T) {
	t.Parallel()
	h := startHandedOver(t)
	working, err := os.Readlink(h.program)
	check(t, err)
	save(t, h.dir+"/new", "#!/bin/sh\nexec sleep 1000\n")
	check(t, os.Chmod(h.dir+"/new", 0o700))
	check(t, os.Rename(h.dir+"/new", h.program))
	check(t, syscall.Kill(h.pid, syscall.SIGUSR2))
	h.await(`"msg":"handing over to a new process"`)
	out, err := exec.Command(working, "limit", "Desk.Mul", "--rate", "1000000/s", "--for", "1h", "--admin", h.admin).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	h.await(`"msg":"not handed over: this process serves on","error":"a rollback or a command of an operator came first`)
}
