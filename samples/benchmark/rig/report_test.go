package rig

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/samples/benchmark/contract"
)

func sampleReport() *Report {
	r := &Report{Machine: Machine{CPU: "CPU <x>", Cores: 2, Go: "go1 linux/amd64"}, Repeat: 2, Reference: "grpc-go", Scenarios: allScenarios()}
	for i, name := range []string{"easymicro", "grpc-go"} {
		r.Contestants = append(r.Contestants, entrant(name, contract.Shared))
		rep := repetition(1, float64(1000/(i+1)), 0)
		rep.LatencyUs = contract.Latency{P50: 40, P99: 400, P999: 4000, P9999: 9000, Max: 9999}
		r.Figures = append(r.Figures, figureOf(s2, name, []Repetition{rep}, 0.05))
	}
	broken := repetition(1, 0, 0)
	broken.Error = "it hangs\nand more"
	r.Figures = append(r.Figures, figureOf(s2, "drpc", []Repetition{broken}, 0.05))
	r.Targets = outcomes(r.Figures)
	return r
}

func TestTablesShowFiguresAndFailures(t *testing.T) {
	var b strings.Builder
	if err := sampleReport().WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"s2: 1,000 callers", "easymicro", "1000 (1000–1000)", "failed: it hangs\n", "missed"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestThePlotIsXML(t *testing.T) {
	var b bytes.Buffer
	if err := sampleReport().WriteSVG(&b); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "<circle"); n != 2 {
		t.Errorf("%d latencies, want 2", n)
	}
	for d := xml.NewDecoder(&b); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheReportIsReadAgain(t *testing.T) {
	var b bytes.Buffer
	want := sampleReport()
	if err := want.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got Report
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || len(got.Figures) != len(want.Figures) || got.Figures[0].P99Us != want.Figures[0].P99Us {
		t.Errorf("%v\n%s", err, b.String())
	}
}
