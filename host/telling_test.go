package host_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire/code"
)

func TestTheLogHasThePlacesOfWarningsAsAttributes(t *testing.T) {
	var log logBuffer
	h := hosttest.Start(t, "services: [{name: Arith, handler: test.arith}]\npolicies: {files: [p.yaml]}\n", hosttest.Options{
		Registry: newPlant(t).reg, Log: &log,
		Files: map[string]string{"p.yaml": "rules:\n  - {name: r, match: {service: Arit}, timeout: 1s}\n"},
	})
	h.Stop()
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "did you mean Arith?") {
			if !strings.Contains(line, "level=WARN msg=\"rules[0].") || !strings.Contains(line, " file=p.yaml line=2 column=") {
				t.Error(line)
			}
			return
		}
	}
	t.Errorf("no warning in\n%s", log.String())
}

// Each part of a host that says something of each call or connection passes the guard against floods.
func TestCrashingCallsAndBadRepliesAreFewLines(t *testing.T) {
	var log logBuffer
	h := hosttest.Start(t, "services: [{name: Crash, handler: test.crash}]\n", hosttest.Options{Registry: newPlant(t).reg, Log: &log})
	c := h.Dial()
	for range 40 {
		for _, method := range []string{"Panic", "Goexit", "BadError"} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			err := hosttest.CallJSON(ctx, c, "Crash", method, args{}, new(reply))
			cancel()
			if e := code.From(err); e == nil || e.Code != code.Internal || e.Reason != code.ReasonPanic {
				t.Fatalf("%s over rpcx: %v", method, err)
			}
			if res, body := h.Post("/Crash/"+method, "{}"); !strings.Contains(body, `"reason":"panic"`) {
				t.Fatalf("%s over HTTP: %s %s", method, res.Status, body)
			}
		}
	}
	h.Stop()
	if n := strings.Count(log.String(), "\n"); n > 40 {
		t.Errorf("%d lines", n)
	}
	for _, msg := range []string{"handler panicked", "handler crashed"} {
		first, sums := 0, 0
		for line := range strings.Lines(log.String()) {
			switch {
			case !strings.Contains(line, `msg="`+msg+`"`):
			case strings.Contains(line, "suppressed="):
				sums++
			default:
				first++
			}
		}
		if first == 0 || first > 3 || sums != first {
			t.Errorf("%s: %d lines and %d that sum up", msg, first, sums)
		}
	}
}

// lineOf is a log that reports when a text was written.
type lineOf struct {
	logBuffer
	text string
	once sync.Once
	came chan struct{}
}

func (l *lineOf) Write(p []byte) (int, error) {
	if strings.Contains(string(p), l.text) {
		l.once.Do(func() { close(l.came) })
	}
	return l.logBuffer.Write(p)
}

// An access rule that expires lets calls through: this is logged before, when it happens, and from then on.
func TestARuleThatExpiresIsLogged(t *testing.T) {
	log := &lineOf{text: "a rule has expired", came: make(chan struct{})}
	at := time.Now().Add(6 * time.Second).UTC().Format(time.RFC3339)
	h := hosttest.Start(t, "services: [{name: Arith, handler: test.arith}]\npolicies: {files: [p.yaml]}\n", hosttest.Options{
		Registry: newPlant(t).reg, Log: log,
		Files: map[string]string{"p.yaml": "rules:\n  - {name: door, match: {service: Arith}, access: {deny: [{caller: '*'}]}, expires: " + at + "}\n"},
	})
	info := func(status string) {
		t.Helper()
		if text := scrape(t, h); !strings.Contains(text, `easymicro_rule_info{mode="enforce",rule="door",status="`+status+`"} 1`) {
			t.Errorf("door is not %s", status)
		}
	}
	before, err := h.Admin.Status(t.Context())
	must(t, err)
	if len(before.Expiring) != 1 || before.Expiring[0].Rule != "door" || !before.Expiring[0].Opens || before.Expiring[0].Position != "p.yaml:2" {
		t.Errorf("%+v", before.Expiring)
	}
	if !strings.Contains(log.String(), "rules[0].expires: the rule expires on "+at+", within 7 days: then calls that it refused are allowed") {
		t.Error(log.String())
	}
	receive(t, log.came, "nobody is told that the rule expired")
	info("expired")
	after, err := h.Admin.Status(t.Context())
	must(t, err)
	if len(after.Expiring) != 1 || !after.Expiring[0].Expired {
		t.Errorf("%+v", after.Expiring)
	}
	want := `level=WARN msg="a rule has expired" rule=door file=p.yaml kinds=[access] mode=enforce effect="calls that it refused are allowed" expires=`
	if text := log.String(); strings.Count(text, want) != 1 || !strings.Contains(text, " line=2") {
		t.Error(text)
	}
}
