//go:build unix

package host_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/host/machine"
	"github.com/easymicro/easymicro/registry"
)

const (
	childManifest    = "TEST_CHILD_MANIFEST"
	childDescriptors = "TEST_CHILD_DESCRIPTORS"
	childMark        = "child serves "
)

// child is a host in a process of its own, so that descriptors and memory are its own.
type child struct {
	Main, Admin, Health string // addresses
	PID                 int    `json:"-"`
	log                 logBuffer
}

// burden takes and gives as much as its callers ask for.
type burden struct{}

type (
	row   struct{ Name, Value string }
	table struct {
		Items []row
		More  any
	}
)

// Echo answers with what it gets.
func (burden) Echo(_ context.Context, a, r *string) error {
	*r = *a
	return nil
}

// Nap takes a while, or until its caller is gone.
func (burden) Nap(ctx context.Context, _ *args, _ *reply) error {
	select {
	case <-time.After(200 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Big answers with A KiB.
func (burden) Big(_ context.Context, a *args, r *string) error {
	*r = strings.Repeat("x", a.A<<10)
	return nil
}

// Count takes a list of structs.
func (burden) Count(_ context.Context, a *table, r *reply) error {
	r.C = len(a.Items)
	return nil
}

// startChild runs a manifest with the handlers of newPlant, and test.load, in a process that may have so many descriptors; 0 leaves them.
func startChild(t *testing.T, manifest string, descriptors int) *child {
	t.Helper()
	ctx, kill := context.WithCancel(context.WithoutCancel(t.Context())) // it outlives the test's by a cleanup
	t.Cleanup(kill)
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChildHost$", "-test.timeout=2h")
	cmd.Env = append(os.Environ(), childManifest+"="+manifest, childDescriptors+"="+strconv.Itoa(descriptors))
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	c := new(child)
	cmd.Stderr = &c.log
	must(t, cmd.Start())
	c.PID = cmd.Process.Pid
	lines := bufio.NewScanner(stdout)
	t.Cleanup(func() {
		_ = stdin.Close() // ends the child
		late := time.AfterFunc(3*patience, kill)
		defer late.Stop()
		for lines.Scan() {
			t.Log(lines.Text())
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the child ended with %v", err)
		}
		if t.Failed() {
			t.Log(c.log.String())
		}
	})
	for lines.Scan() {
		var rest string
		if n, _ := fmt.Sscanf(lines.Text(), childMark+"%s", &rest); n == 1 {
			must(t, json.Unmarshal([]byte(rest), c))
			return c
		}
	}
	t.Fatal("the child does not serve")
	return nil
}

// TestChildHost is the other process: it serves until its standard input ends.
func TestChildHost(t *testing.T) {
	manifest, ok := os.LookupEnv(childManifest)
	if !ok {
		t.Skip("runs in the processes that other tests start")
	}
	if n, err := strconv.ParseUint(os.Getenv(childDescriptors), 10, 32); err != nil {
		t.Fatal(err)
	} else if n > 0 {
		must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n}))
	}
	p := newPlant(t)
	registry.Plain(burden{}, registry.In(p.reg), registry.As("test.load"))
	h := hosttest.Start(t, manifest, hosttest.Options{Registry: p.reg, Log: os.Stderr, Heap: new(machine.Heap)})
	c := child{Main: h.Address, Admin: h.AdminAddr().String()}
	if a := h.HealthAddr(); a != nil {
		c.Health = a.String()
	}
	text, err := json.Marshal(&c)
	must(t, err)
	_, _ = fmt.Fprintf(os.Stdout, "%s%s\n", childMark, text)
	_, _ = io.Copy(io.Discard, os.Stdin)
	p.gate.open()
}
