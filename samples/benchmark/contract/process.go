package contract

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a contestant's process whose other end we are.
type Process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr strings.Builder

	once sync.Once
	err  error // of the process, once it has exited
}

// grace is how long a process may take to exit once its stdin has ended.
const grace = 10 * time.Second

// Start starts a program. env is its whole environment. The process is told to exit when ctx ends, and killed if it does not.
func Start(ctx context.Context, program string, env []string, args ...string) (*Process, error) {
	p := &Process{cmd: exec.CommandContext(ctx, program, args...)} //nolint:gosec // running contestants is what this is for
	p.cmd.Env = env
	p.cmd.Stderr = &p.stderr
	p.cmd.WaitDelay = grace
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.stdout = bufio.NewReader(out)
	p.cmd.Cancel = func() error {
		_ = p.stdin.Close() // ends a server
		return p.cmd.Process.Signal(syscall.SIGTERM)
	}
	return p, p.cmd.Start()
}

// Read reads the next line of stdout into value.
func (p *Process) Read(value any) error {
	line, err := p.stdout.ReadBytes('\n')
	if err != nil {
		_ = p.stdin.Close()
		return fmt.Errorf("%s: %w", p.name(), errors.Join(err, p.wait()))
	}
	if err := json.Unmarshal(line, value); err != nil {
		return fmt.Errorf("%s printed %q: %w", p.name(), line, err)
	}
	return nil
}

// Ask asks a server a question.
func (p *Process) Ask(q Question) (Counters, error) {
	var c Counters
	if _, err := io.WriteString(p.stdin, string(q)+"\n"); err != nil {
		return c, fmt.Errorf("%s: %w", p.name(), errors.Join(err, p.wait()))
	}
	err := p.Read(&c)
	return c, err
}

// Stop ends the stdin of the process and waits until it has exited. It may be called again.
func (p *Process) Stop() error {
	_ = p.stdin.Close()
	kill := time.AfterFunc(grace, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	if err := p.wait(); err != nil {
		return fmt.Errorf("%s: %w", p.name(), err)
	}
	return nil
}

// Kill ends the process at once, if it has not exited yet.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	_ = p.wait()
}

func (p *Process) wait() error {
	p.once.Do(func() {
		p.err = p.cmd.Wait()
		if text := strings.TrimSpace(p.stderr.String()); p.err != nil && text != "" {
			p.err = fmt.Errorf("%w: %s", p.err, text)
		}
	})
	return p.err
}

func (p *Process) name() string {
	return filepath.Base(p.cmd.Path) + " " + strings.Join(p.cmd.Args[1:], " ")
}
