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
	"syscall"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/hosttest"
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

// startChild runs a manifest with the handlers of newPlant in a process that may have so many descriptors; 0 leaves them.
func startChild(t *testing.T, manifest string, descriptors int) *child {
	t.Helper()
	ctx, kill := context.WithCancel(context.WithoutCancel(t.Context())) // it outlives the test's by a cleanup
	t.Cleanup(kill)
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChildHost$", "-test.timeout=20m")
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
	h := hosttest.Start(t, manifest, hosttest.Options{Registry: p.reg, Log: os.Stderr})
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
