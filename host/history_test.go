package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host/view"
	"github.com/easymicro/easymicro/registry"
)

// Saving a bad file again and again does not evict the running revision.
func TestTheRevisionThatRunsIsRememberedHoweverManyAreRejected(t *testing.T) {
	var h history
	h.add(historyEntry{Attempt: Attempt{Number: 1, Result: ResultApplied}})
	h.add(historyEntry{Attempt: Attempt{Number: 2, Result: ResultApplied, Source: SourceFile}})
	for range 3 * view.RevisionsKept {
		h.add(historyEntry{Attempt: Attempt{Number: 2, Result: ResultRejected}})
	}
	if r, ok := h.applied(2); !ok || r.Source != SourceFile {
		t.Errorf("%+v %v", r, ok)
	}
	if _, ok := h.applied(1); ok || len(h.all()) != view.RevisionsKept {
		t.Error("the history has no end")
	}
}

func TestWhatRevisionsSayIsRememberedUpToSomeBytes(t *testing.T) {
	var h history
	warning := config.Problem{Message: strings.Repeat("x", historyBytes/10)}
	for i := range 30 {
		h.add(historyEntry{Attempt: Attempt{Number: i + 1, Result: ResultApplied, Warnings: config.Problems{warning}}})
	}
	if list := h.all(); len(list) != 9 || list[0].Number != 30 {
		t.Errorf("%d revisions, the last is r%d", len(list), list[0].Number)
	}
	for i := range 30 {
		h.add(historyEntry{Attempt: Attempt{Number: i + 31, Result: ResultApplied, Rules: config.MaxRules}})
	}
	if list := h.all(); len(list) != 3 || list[0].Number != 60 {
		t.Errorf("%d revisions of many rules", len(list))
	}
}

// A policy file that a whole fleet shares says little that is of use on each host.
func TestRulesForServicesOfOtherHostsAreFewWarnings(t *testing.T) {
	var rules strings.Builder
	rules.WriteString("rules:\n")
	for i := range 5000 {
		fmt.Fprintf(&rules, "  - {name: r%d, match: {service: Far%d}, timeout: 1s}\n", i, i)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"easymicro.yaml": "services: [{name: Arith, handler: arith}]\npolicies: {files: [p.yaml]}\n", "p.yaml": rules.String(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reg := registry.New()
	registry.Plain(new(lonely), registry.In(reg), registry.As("arith"))
	set, _, err := LoadFiles(filepath.Join(dir, "easymicro.yaml"), load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	h, err := Open(t.Context(), set, Options{Registry: reg, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	list := h.applier.history.all()
	text := log.String()
	if len(list) != 1 || len(list[0].Warnings) > 25 || strings.Count(text, "level=WARN") > 25 {
		t.Errorf("%d revisions, %d lines of warnings", len(list), strings.Count(text, "level=WARN"))
	}
	if !strings.Contains(text, "and 4980 more like these: easymicro validate lists all") {
		t.Error("nothing says that there are more")
	}
}

type lonely struct{}

func (*lonely) Mul(context.Context, *struct{}, *struct{}) error { return nil }

// The time to confirm may end while confirm waits for its turn.
func TestARevisionThatIsConfirmedIsNotUndone(t *testing.T) {
	a, running := new(applier), &generation{revision: 7}
	from := trigger{reverts: 7, confirmed: make(chan struct{})}
	if err := a.superseded(running, from); err != nil {
		t.Fatal(err)
	}
	close(from.confirmed)
	if err := a.superseded(running, from); !errors.Is(err, errSuperseded) {
		t.Errorf("%v", err)
	}
}
