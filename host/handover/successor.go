package handover

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options say what a new process gets.
type Options struct {
	Program string // its path; it gets the arguments, the environment and the directory of this process
	Sockets []Socket
	Lock    *os.File // of LockDir; nil: none
	LockDir string
	State   json.RawMessage // for Predecessor.State; nil: none
}

// Successor is a new process, as seen from the old one. Its methods may be called concurrently.
type Successor struct {
	cmd   *exec.Cmd
	words *os.File // to it

	ready, published, yields chan struct{}

	ended  chan struct{}
	errors tail
	err    error // of its end; valid once ended is closed
}

// Start starts a new process. It keeps none of the files of o.
func Start(o Options) (*Successor, error) {
	about, err := json.Marshal(description{Lock: o.LockDir, State: o.State, Sockets: o.Sockets})
	if err != nil {
		return nil, err
	}
	pipes, err := newPipes()
	if err != nil {
		return nil, err
	}
	s := &Successor{
		cmd: exec.Command(o.Program, os.Args[1:]...), words: pipes.words, //nolint:gosec,noctx // this program; it outlives the process
		ready: make(chan struct{}), published: make(chan struct{}), yields: make(chan struct{}), ended: make(chan struct{}),
	}
	s.cmd.Args[0] = os.Args[0]
	s.cmd.Env = environment(about)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = os.Stdin, os.Stdout, pipes.theirErrors
	s.cmd.ExtraFiles = []*os.File{pipes.theirWords, pipes.theirAnswers, os.Stderr}
	if o.Lock != nil {
		s.cmd.ExtraFiles = append(s.cmd.ExtraFiles, o.Lock)
	}
	for _, one := range o.Sockets {
		s.cmd.ExtraFiles = append(s.cmd.ExtraFiles, one.File)
	}
	err = s.cmd.Start()
	pipes.closeTheirs()
	if err != nil {
		pipes.closeOurs()
		return nil, err
	}
	go s.follow(pipes)
	return s, nil
}

// follow reads what the process says until it has ended.
func (s *Successor) follow(p *pipes) {
	var read sync.WaitGroup
	read.Go(func() { s.listen(p.answers) })
	read.Go(func() { _, _ = io.Copy(&s.errors, p.errors) })
	s.err = s.cmd.Wait()
	// A process that it has started may hold the pipes.
	late := time.Now().Add(time.Second)
	_, _ = p.answers.SetReadDeadline(late), p.errors.SetReadDeadline(late)
	read.Wait()
	p.closeOurs()
	close(s.ended)
}

func (s *Successor) listen(from io.Reader) {
	said := map[string]chan struct{}{wordReady: s.ready, wordPublished: s.published, wordYields: s.yields}
	for lines := bufio.NewScanner(from); lines.Scan(); {
		if c := said[lines.Text()]; c != nil {
			delete(said, lines.Text())
			close(c)
		}
	}
}

// PID returns the id of the process.
func (s *Successor) PID() int { return s.cmd.Process.Pid }

// Ready waits until the process serves. The error says why it does not: it has ended or was told to, or ctx has ended.
func (s *Successor) Ready(ctx context.Context) error {
	return await(ctx, s, s.ready)
}

var errYields = errors.New("the new process was told to end")

// Survives waits for d. The error says why the process did not live that long, or is that of ctx.
func (s *Successor) Survives(ctx context.Context, d time.Duration) error {
	return await(ctx, s, time.After(d))
}

// await waits for done. The error says why that does not come: the process has ended or was told to, or ctx has ended.
func await[T any](ctx context.Context, s *Successor, done <-chan T) error {
	select {
	case <-done:
		return nil
	case <-s.yields:
		return errYields
	case <-s.ended:
		return s.failure()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// failure returns why the process has ended, with the last lines that it wrote to standard error.
func (s *Successor) failure() error {
	err := s.err
	if err == nil {
		err = errors.New("exit status 0")
	}
	if last := s.errors.String(); last != "" {
		return fmt.Errorf("the new process has ended (%w): %s", err, last)
	}
	return fmt.Errorf("the new process has ended (%w) without a word", err)
}

// LastLines returns the end of what the process has written to standard error so far.
func (s *Successor) LastLines() string { return s.errors.String() }

// Go tells the process that this one stops accepting.
func (s *Successor) Go() error {
	_, err := s.words.WriteString(wordGo + "\n")
	return err
}

// Published waits until discovery has the process, its end, or that of ctx.
func (s *Successor) Published(ctx context.Context) {
	select {
	case <-s.published:
	case <-s.ended:
	case <-ctx.Done():
	}
}

// Stop ends the process: by SIGTERM and, if it has not ended in time, by SIGKILL. It returns when the process has ended.
func (s *Successor) Stop(within time.Duration) {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(within):
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
}

// pipes connect a new process. Its ends are closed once it has them.
type pipes struct {
	words, theirWords     *os.File // to the process
	answers, theirAnswers *os.File // from it
	errors, theirErrors   *os.File
}

func newPipes() (*pipes, error) {
	p := new(pipes)
	var err error
	p.theirWords, p.words, err = os.Pipe()
	if err == nil {
		p.answers, p.theirAnswers, err = os.Pipe()
	}
	if err == nil {
		p.errors, p.theirErrors, err = os.Pipe()
	}
	if err != nil {
		p.closeTheirs()
		p.closeOurs()
		return nil, err
	}
	return p, nil
}

func (p *pipes) closeTheirs() { closeAll(p.theirWords, p.theirAnswers, p.theirErrors) }

func (p *pipes) closeOurs() { closeAll(p.words, p.answers, p.errors) }

func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}

const (
	tailBytes = 8 << 10
	tailLines = 10
)

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-tailBytes):]
	return len(p), nil
}

// String returns the last lines.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}
