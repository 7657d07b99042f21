package host_test

import (
	"context"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
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
		for _, method := range []string{"Panic", "Goexit"} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			_ = hosttest.CallJSON(ctx, c, "Crash", method, args{}, new(reply))
			cancel()
		}
	}
	h.Stop()
	for _, msg := range []string{"a handler panicked", "handler crashed"} {
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
		if first == 0 || first > 2 || sums != first {
			t.Errorf("%s: %d lines and %d that sum up", msg, first, sums)
		}
	}
}
