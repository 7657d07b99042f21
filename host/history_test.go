package host

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host/view"
	"github.com/easymicro/easymicro/registry"
)

// However many attempts are rejected, the revisions before them stay in the history.
func TestRejectedAttemptsTakeHalfOfTheHistory(t *testing.T) {
	var h history
	for i := range view.RevisionsKept {
		h.add(historyEntry{Attempt: Attempt{Number: i + 1, Result: ResultApplied, Source: SourceFile}})
	}
	for i := range 3 * view.RevisionsKept {
		r := Attempt{Number: view.RevisionsKept, Result: ResultRejected, Error: fmt.Sprint("error ", i)}
		h.count(&r)
		h.add(historyEntry{Attempt: r})
	}
	list := h.all()
	rejected := slices.IndexFunc(list, func(r Attempt) bool { return r.Result == ResultApplied })
	if len(list) != view.RevisionsKept || rejected != view.RevisionsKept/2 || list[0].Error != fmt.Sprint("error ", 3*view.RevisionsKept-1) {
		t.Errorf("%d attempts, %d of them rejected", len(list), rejected)
	}
	if _, ok := h.applied(view.RevisionsKept/2 + 1); !ok {
		t.Error("a revision is gone")
	}
	long := config.Problems{{Message: strings.Repeat("x", historyBytes/10)}}
	for i := range 20 {
		h.add(historyEntry{Attempt: Attempt{Result: ResultRejected, Error: fmt.Sprint("long ", i), Problems: long}})
	}
	list = h.all()
	if rejected := slices.IndexFunc(list, func(r Attempt) bool { return r.Result == ResultApplied }); rejected != 4 || len(list) < view.RevisionsKept/2 {
		t.Errorf("%d long attempts of %d", rejected, len(list))
	}
}

// Equal attempts in a row that are rejected are one entry, with their number.
func TestEqualRejectedAttemptsAreCounted(t *testing.T) {
	var h history
	begin := time.Now()
	add := func(r Attempt) *Attempt {
		r.Number, r.Result, r.Source = 1, cmp.Or(r.Result, ResultRejected), SourceApply
		h.count(&r)
		h.add(historyEntry{Attempt: r})
		return &r
	}
	add(Attempt{Result: ResultApplied})
	var told int
	for i := range 100 {
		if add(Attempt{Who: "ci", Error: "no such file", At: begin.Add(time.Duration(i) * time.Second)}).IsTold() {
			told++
		}
	}
	list := h.all()
	if len(list) != 2 || list[0].Times != 100 || !list[0].Since.Equal(begin) || !list[0].At.Equal(begin.Add(99*time.Second)) || told != 7 {
		t.Errorf("%d told of %+v", told, list)
	}
	for _, r := range []Attempt{{Who: "ops", Error: "no such file"}, {Who: "ops", Error: "other"}, {Who: "ops", Error: "other", Problems: config.Problems{{Message: "x"}}}} {
		add(r)
	}
	if list := h.all(); len(list) != 5 || list[0].Times != 0 {
		t.Errorf("%+v", list)
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
