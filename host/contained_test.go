package host_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
)

// panicking is a source that panics when it is told to, and otherwise gives the newest set.
type panicking struct {
	set         atomic.Pointer[config.Set]
	loads, asks atomic.Bool
}

func (p *panicking) Load(context.Context) (*config.Set, error) {
	if p.loads.Load() {
		panic("the sky falls")
	}
	return p.set.Load(), nil
}

func (p *panicking) Hash() (string, error) {
	if p.asks.Load() {
		panic("the sky falls")
	}
	return p.set.Load().Hash, nil
}

func (*panicking) Dirs() []string { return nil }

// A panic while an edit is read or made rejects it, wherever it comes from, and the next edit applies, by request and by the watcher. One
// that keeps the host from telling whether there is an edit, or while it comes into force, is logged.
func TestAPanicWhileAnEditIsMadeRejectsIt(t *testing.T) {
	const ready = "internal error while the edit was made ready: the sky falls; this is a bug of easymicro"
	const read = "internal error while the files were read: the sky falls; this is a bug of easymicro"
	for _, tt := range []struct {
		name string
		at   func(h *host.Host, s *panicking, on *atomic.Bool) // has it panic while on is set
		want string                                            // empty: the edit is in force
	}{
		{"load", func(_ *host.Host, s *panicking, _ *atomic.Bool) { s.loads.Store(true) }, read},
		{"hash", func(_ *host.Host, s *panicking, _ *atomic.Bool) { s.asks.Store(true) }, ""}, // the set itself can be read
		{"plan", func(h *host.Host, _ *panicking, on *atomic.Bool) { host.OnPlan(h, fallsWhile(on)) }, ready},
		{"commit", func(h *host.Host, _ *panicking, on *atomic.Bool) { host.OnCommit(h, fallsWhile(on)) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			manifest := strings.Replace(threeRules, "policies:", "policies:\n  watch: {poll: 100ms, debounce: 10ms}", 1)
			source, log := new(panicking), new(logBuffer)
			source.set.Store(setOf(t, "first", manifest))
			attempts, ready := make(chan host.Attempt, 1000), make(chan struct{})
			h, err := host.Open(t.Context(), source.set.Load(), host.Options{
				Registry: newPlant(t).reg, Source: source, Logger: slog.New(slog.NewTextHandler(log, nil)),
				OnReady: func(*host.Host) { close(ready) }, OnAttempt: func(r host.Attempt) { attempts <- r },
			})
			must(t, err)
			receive(t, attempts, "the start is not recorded")
			var on atomic.Bool
			on.Store(true)
			tt.at(h, source, &on)
			ctx, stop := context.WithCancel(t.Context())
			ran := make(chan error, 1)
			go func() { ran <- h.Run(ctx) }()
			receive(t, ready, "the host does not serve")

			source.set.Store(setOf(t, "second", strings.Replace(manifest, "rate: 5", "rate: 6", 1)))
			r := receive(t, attempts, "the watcher has ended")
			if r.Error != tt.want || (r.Result == host.ResultRejected) != (tt.want != "") || (h.Set().Hash == "second") != (tt.want == "") {
				t.Errorf("%s %q %v, %s runs", r.Result, r.Error, r.Problems, h.Set().Hash)
			}
			if text := log.String(); !strings.Contains(text, `msg="internal error"`) || !strings.Contains(text, "contained_test.go") {
				t.Errorf("the log lacks the stack: %s", text)
			}
			on.Store(false)
			source.loads.Store(false)
			source.asks.Store(false)
			source.set.Store(setOf(t, "third", strings.Replace(manifest, "rate: 5", "rate: 7", 1)))
			for r.Hash != "third" {
				r = receive(t, attempts, "the watcher has ended")
			}
			if r.Result != host.ResultApplied || h.Set().Hash != "third" {
				t.Errorf("%s %q %v, %s runs", r.Result, r.Error, r.Problems, h.Set().Hash)
			}
			stop()
			must(t, receive(t, ran, "the host does not stop"))
		})
	}
}

func fallsWhile(on *atomic.Bool) func(int) {
	return func(int) {
		if on.Load() {
			panic("the sky falls")
		}
	}
}
