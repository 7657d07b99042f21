package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/samples/benchmark/rig"
)

// Every contestant takes part in every scenario that it is for, without an error, for an instant.
func TestEveryContestantRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a hundred servers")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "added")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./contestants/drpc").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	scenarios := "s1,s2,s3,s4,s2-gogc800,gateway,open-50-reference,open-50,compute-10us-s2,sleep-2ms-s3,sleep-1in100-s2"
	args := []string{
		"-quick", "-repeat", "1", "-warmup", "50ms", "-duration", "200ms", "-limit", "1s", "-scenario", scenarios, "-add", "mine=" + program, "-out", dir,
	}
	var out strings.Builder
	if err := run(t.Context(), args, &out, t.Output()); err != nil {
		t.Fatal(err)
	}
	report := readReport(t, filepath.Join(dir, "results.json"))
	seen := map[string]bool{}
	for _, f := range report.Figures {
		seen[f.Contestant] = true
		if f.Error != "" || f.CallsPerSecond.Median == 0 || f.P50Us.Median == 0 || f.Server.CPUUs == 0 {
			t.Errorf("%s in %s: %+v", f.Contestant, f.Scenario, f)
		}
	}
	for _, e := range report.Contestants {
		if !seen[e.Name] {
			t.Errorf("%s took part in nothing", e.Name)
		}
	}
	if !seen["mine:drpc"] {
		t.Error("the added program took part in nothing")
	}
	for _, want := range []string{"s2-gogc800", "grpc-go v1", "mine:drpc", "targets"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	checkXML(t, filepath.Join(dir, "results.svg"))
}

// The memory of idle connections is measured, here without waiting until it is released.
func TestIdleConnectionsAreMeasured(t *testing.T) {
	if testing.Short() {
		t.Skip("opens thousands of connections")
	}
	o, _, err := parse([]string{"-scenario", "idle", "-contestant", "epoll+pb", "-repeat", "1"}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	o.Idle = 100 * time.Millisecond
	report, err := rig.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if f := report.Figures[0]; f.Error != "" || f.IdleBytes.Median <= 0 {
		t.Errorf("%+v", f)
	}
}

func TestMistakesInFlagsAreNamed(t *testing.T) {
	for args, want := range map[string]string{
		"-scenario s9":   "s9",
		"-repeat -1":     "repeat",
		"extra":          "extra",
		"-add ./nowhere": "nowhere",
	} {
		if err := run(t.Context(), strings.Fields(args), io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}

func TestQuickRunsAreShorter(t *testing.T) {
	full, _, err := parse(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	quick, _, err := parse([]string{"-quick", "-repeat", "7"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if full.Repeat < 3 || quick.Repeat != 7 || quick.Duration >= full.Duration || quick.Limit >= full.Limit || full.Noise != 0.05 {
		t.Errorf("full %+v\nquick %+v", full, quick)
	}
}

func readReport(t *testing.T, path string) *rig.Report {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	report := new(rig.Report)
	if err := json.Unmarshal(text, report); err != nil {
		t.Fatal(err)
	}
	return report
}

func checkXML(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for d := xml.NewDecoder(f); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
