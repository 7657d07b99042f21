package main

import (
	"bytes"
	"context"
	"regexp"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/easymicro/easymicro/host/discovery"
	"github.com/easymicro/easymicro/host/hosttest"
	_ "github.com/easymicro/easymicro/samples"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var line = regexp.MustCompile(`^\d\d:\d\d:\d\d   first \d+, second \d+   slowest \d+ms   errors: none$`)

// page ends the run once it has a line.
type page struct {
	bytes.Buffer
	turn context.CancelFunc
}

func (p *page) Write(b []byte) (int, error) {
	defer p.turn()
	return p.Buffer.Write(b)
}

func TestItCountsAnswersByHostAndEnds(t *testing.T) {
	start := func(name string) string {
		return hosttest.Start(t, "services: [{name: Echo, handler: discovery.echo, options: {host: "+name+"}}]", hosttest.Options{}).Address
	}
	hosts, err := discovery.Static(start("first"), start("second"))
	if err != nil {
		t.Fatal(err)
	}
	for _, retry := range []bool{false, true} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		out := &page{turn: cancel}
		if err := run(ctx, hosts, 4, retry, out); err != nil {
			t.Error(err)
		}
		if first, _, _ := bytes.Cut(out.Bytes(), []byte("\n")); !line.Match(first) {
			t.Errorf("it prints %q", out.String())
		}
	}
}

func TestErrorsAreCountedByCodeAndReason(t *testing.T) {
	hosts, err := discovery.Static("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	out := &page{turn: cancel}
	if err := run(ctx, hosts, 1, false, out); err != nil {
		t.Error(err)
	}
	if !regexp.MustCompile(`no answer .*errors: UNAVAILABLE no_endpoint \d+`).Match(out.Bytes()) {
		t.Errorf("it prints %q", out.String())
	}
}
