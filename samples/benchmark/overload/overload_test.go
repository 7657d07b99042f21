package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == serveMode || os.Args[1] == loadMode) {
		main()
		return
	}
	m.Run()
}

func TestEveryHandlerIsMeasuredAndWritten(t *testing.T) {
	if testing.Short() {
		t.Skip("runs processes")
	}
	dir := t.TempDir()
	var out strings.Builder
	if err := run(t.Context(), []string{"-quick", "-rule", "max 8", "-warmup", "50ms", "-duration", "300ms", "-out", dir}, &out, t.Output()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "overload.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Series) != len(handlers) {
		t.Fatalf("%s", text)
	}
	for _, s := range r.Series {
		if s.Capacity == 0 || len(s.Rules) != 1 {
			t.Errorf("%+v", s)
		}
		for _, rule := range s.Rules {
			for _, step := range rule.Steps {
				if step.Goodput+step.Refused+step.Lost == 0 || step.MiB == 0 {
					t.Errorf("%s: %+v", s.Method, step)
				}
			}
		}
		if !strings.Contains(out.String(), s.Title) {
			t.Errorf("no table of %s in\n%s", s.Method, out.String())
		}
	}
	f, err := os.Open(filepath.Join(dir, "overload.svg"))
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

func TestTheShareIsOfTheMostServedUnderAnyRule(t *testing.T) {
	s := series{Rules: []ruled{
		{Steps: []step{{outcome: outcome{Goodput: 50}}, {outcome: outcome{Goodput: 10}}}},
		{Steps: []step{{outcome: outcome{Goodput: 100}}}},
	}}
	s.judge()
	if s.Peak != 100 || s.Rules[0].Steps[0].OfPeak != 0.5 || s.Rules[1].Steps[0].OfPeak != 1 {
		t.Errorf("%+v", s)
	}
}
