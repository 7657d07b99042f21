// Package lifecycle provides a journal that writes in the background: a handler with all that a host asks of an instance
// beyond its methods.
package lifecycle

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/code"
)

// Options of the handler.
type Options struct {
	File  string        `yaml:"file" doc:"File to which lines are appended. Its directory must exist." required:"true"`
	Every time.Duration `yaml:"every" doc:"How long a line may wait to be written." min:"1ms"`
	Lines int           `yaml:"lines" doc:"How many lines may wait. Further ones are refused." min:"1"`
}

func init() {
	registry.Register("lifecycle.journal", Options{Every: time.Second, Lines: 1000}, open, registry.Methods[Journal]())
}

// open runs when the host starts, and when an edit adds the service. An error fails the start, or rejects the edit.
func open(_ context.Context, o Options, env registry.Env) (*registry.Service, error) {
	if err := check(o); err != nil {
		return nil, err
	}
	j := &Journal{log: env.Log(), options: o, wake: make(chan struct{}, 1)}
	ctx, stop := context.WithCancel(context.Background()) // that of open ends when open returns
	var background sync.WaitGroup
	background.Go(func() { j.run(ctx) })
	return registry.Receiver(j).OnReady(j.ready).OnOptions(j.configure).OnClose(func() error {
		stop()
		background.Wait()
		return j.write() // what was accepted last
	}), nil
}

func check(o Options) error {
	_, err := os.Stat(filepath.Dir(o.File))
	return err
}

// Journal appends lines to a file, a little later.
type Journal struct {
	log  *slog.Logger
	wake chan struct{} // has a token when options have changed

	mu      sync.Mutex
	options Options
	waiting []string
	failed  error // why the last write failed; nil: it did not
}

// Line is a line of the journal.
type Line struct {
	Text string `json:"text"`
}

// Receipt says that a line was accepted.
type Receipt struct {
	Waiting int `json:"waiting"` // lines that are not written yet
}

// Add accepts a line.
func (j *Journal) Add(_ context.Context, line *Line, reply *Receipt) error {
	if strings.Contains(line.Text, "\n") {
		return code.Errorf(code.InvalidArgument, "text has more than one line")
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.waiting) >= j.options.Lines {
		return code.Errorf(code.ResourceExhausted, "%d lines wait to be written", len(j.waiting))
	}
	j.waiting = append(j.waiting, line.Text)
	reply.Waiting = len(j.waiting)
	return nil
}

// ready is asked for /readyz and status, often: it must be quick.
func (j *Journal) ready(context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failed
}

// configure applies an edit of the options while calls go on. After an error the instance is as it was, and the edit is
// rejected.
func (j *Journal) configure(_ context.Context, o Options) error {
	if err := check(o); err != nil {
		return err
	}
	j.mu.Lock()
	j.options = o
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default: // has one already
	}
	return nil
}

// run writes until ctx ends.
func (j *Journal) run(ctx context.Context) {
	for {
		j.mu.Lock()
		every := j.options.Every
		j.mu.Unlock()
		select {
		case <-time.After(every):
			if err := j.write(); err != nil {
				j.log.Warn("journal not written", "error", err)
			}
		case <-j.wake:
		case <-ctx.Done():
			return
		}
	}
}

// write appends the lines that wait. After an error they wait on.
func (j *Journal) write() (err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.waiting) == 0 {
		return nil
	}
	defer func() { j.failed = err }()
	f, err := os.OpenFile(j.options.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(j.waiting, "\n") + "\n")
	if err = errors.Join(err, f.Close()); err == nil {
		j.waiting = nil
	}
	return err
}
