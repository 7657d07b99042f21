package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/easymicro/easymicro/wire/code"
)

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func newLog(t *testing.T, o LogOptions) (*slog.Logger, *LogControl, *buffer) {
	t.Helper()
	var b buffer
	log, control, err := NewLogger(&b, o)
	if err != nil {
		t.Fatal(err)
	}
	return log, control, &b
}

// drain returns and removes the contents of the buffer.
func drain(b *buffer) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.b.Reset()
	return b.b.String()
}

func TestAutoIsTextOnATerminalAndJSONElsewhere(t *testing.T) {
	for _, c := range []struct {
		name string
		o    LogOptions
		json bool
		esc  bool
	}{
		{"terminal", LogOptions{Terminal: true}, false, true},
		{"terminal without colour", LogOptions{Terminal: true, NoColor: true}, false, false},
		{"elsewhere", LogOptions{Format: "auto"}, true, false},
		{"text elsewhere", LogOptions{Format: "text"}, false, false},
		{"JSON on a terminal", LogOptions{Format: "json", Terminal: true}, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			log, _, b := newLog(t, c.o)
			log.Warn("listening", "address", "127.0.0.1:8972")
			line := drain(b)
			if got := json.Valid([]byte(line)); got != c.json {
				t.Errorf("JSON %v: %q", got, line)
			}
			if got := strings.Contains(line, "\x1b"); got != c.esc {
				t.Errorf("colours %v: %q", got, line)
			}
			if !strings.Contains(line, "listening") || !strings.Contains(line, "127.0.0.1:8972") {
				t.Errorf("%q", line)
			}
		})
	}
}

func TestLevelAndFormatChangeInDerivedLoggers(t *testing.T) {
	log, control, b := newLog(t, LogOptions{Format: "json"})
	derived := log.With("service", "Arith").WithGroup("call").With("method", "Mul")
	derived.Debug("quiet")
	derived.Info("first", "n", 1)
	if got := drain(b); strings.Contains(got, "quiet") || !strings.Contains(got, `"service":"Arith","call":{"method":"Mul","n":1}`) {
		t.Errorf("%q", got)
	}
	if err := control.Set("debug", "text"); err != nil {
		t.Fatal(err)
	}
	derived.Debug("loud", "n", 2)
	if got := drain(b); !strings.Contains(got, "loud service=Arith call.method=Mul call.n=2") {
		t.Errorf("%q", got)
	}
	if err := control.Set("warn", "json"); err != nil {
		t.Fatal(err)
	}
	derived.Info("quiet again")
	derived.Warn("third")
	if got := drain(b); strings.Contains(got, "quiet") || !json.Valid([]byte(got)) || control.Level() != slog.LevelWarn {
		t.Errorf("%q at %v", got, control.Level())
	}
}

func TestAWrongLevelOrFormatChangesNothing(t *testing.T) {
	_, control, _ := newLog(t, LogOptions{Level: "warn", Format: "json"})
	for _, c := range []struct{ level, format, want string }{
		{"loud", "json", `log level "loud": want debug, info, warn or error`},
		{"debug", "xml", `log format "xml": want auto, text or json`},
	} {
		err := control.Set(c.level, c.format)
		if err == nil || err.Error() != c.want {
			t.Errorf("Set(%q, %q) = %v", c.level, c.format, err)
		}
	}
	if control.Level() != slog.LevelWarn {
		t.Errorf("the level became %v", control.Level())
	}
	if _, _, err := NewLogger(&bytes.Buffer{}, LogOptions{Level: "x"}); err == nil {
		t.Error("a logger with level x")
	}
}

// text is a value that handlers print with one of its methods.
type text string

func (t text) MarshalText() ([]byte, error) { return []byte(t), nil }

type pointerError struct{ text string }

func (e *pointerError) Error() string { return e.text }

func TestPeerTextCannotForgeLinesOrControlTheTerminal(t *testing.T) {
	hostile := []string{
		"x\nlevel=ERROR msg=forged",
		"x\r\n{\"level\":\"ERROR\",\"msg\":\"forged\"}",
		"x\x1b[2J\x1b]0;owned\x07",
		`x \x1b[2J`, // four characters that a log library may turn into an ESC
		"x\u009b31m",
		"x\u2028y\u0085z",
		"x\x00\x08\x7f\xff\xfe",
		"x\u202egnp.exe",
	}
	for _, o := range []LogOptions{{Terminal: true}, {Terminal: true, NoColor: true}, {Format: "text"}, {Format: "json"}} {
		for _, s := range hostile {
			log, _, b := newLog(t, o)
			log.Info("m", "plain", s)
			assertHarmless(t, o, drain(b))
			log.Info(s)
			assertHarmless(t, o, drain(b))
			log.Info("m", "error", errors.New(s), "text", text(s), "bytes", []byte(s), "list", []string{s}, slog.Group("g", "in", s))
			assertHarmless(t, o, drain(b))
			log.With("w", s).WithGroup("h").Info("m", "coded", code.Errorf(code.Unknown, "%s", s))
			assertHarmless(t, o, drain(b))
		}
	}
}

// assertHarmless checks for a single line without control characters other than colour sequences.
func assertHarmless(t *testing.T, o LogOptions, line string) {
	t.Helper()
	body, ok := strings.CutSuffix(line, "\n")
	if !ok || line == "\n" {
		t.Errorf("%+v: no line: %q", o, line)
	}
	for i, r := range body {
		switch {
		case r == 0x1b && o.Terminal && !o.NoColor && isColour(body[i:]):
		case r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u202e':
			t.Errorf("%+v: %U at %d of %q", o, r, i, line)
		}
	}
	if o.Format == "json" && !json.Valid([]byte(body)) {
		t.Errorf("not JSON: %q", body)
	}
}

// isColour reports whether s begins with one of tint's own sequences: ESC [ digits and ; m.
func isColour(s string) bool {
	end := strings.IndexByte(s, 'm')
	return end > 1 && s[1] == '[' && strings.Trim(s[2:end], "0123456789;") == ""
}

func TestANilErrorInAnAttributeIsLoggedWithoutAPanic(t *testing.T) {
	log, _, b := newLog(t, LogOptions{Format: "text"})
	log.Info("m", "error", (*pointerError)(nil), "none", nil)
	if got := drain(b); !strings.Contains(got, "PANIC") || !strings.HasSuffix(got, "\n") {
		t.Errorf("%q", got)
	}
}

func TestACanarySecretAppearsInNoLine(t *testing.T) {
	const canary = "canary-51f0c2"
	for _, f := range []string{"text", "json"} {
		log, control, b := newLog(t, LogOptions{Format: f})
		for _, key := range []string{"token", "Authorization", "__AUTH", "password", "Set-Cookie", "api-key", "secret"} {
			log.Info("m", key, canary)
			log.Info("m", slog.Group("headers", key, canary))
			log.With(key, canary).Info("m")
			log.Info("m", key, []string{canary})
		}
		if err := control.Set("debug", f); err != nil {
			t.Fatal(err)
		}
		got := drain(b)
		if strings.Contains(got, canary) || strings.Count(got, redacted) != 28 {
			t.Errorf("%s: %s", f, got)
		}
	}
}

// halves detects overlapping writes.
type halves struct {
	mu    sync.Mutex
	lines []string
}

func (h *halves) Write(p []byte) (int, error) {
	if !h.mu.TryLock() {
		panic("two lines at once")
	}
	defer h.mu.Unlock()
	h.lines = append(h.lines, string(p))
	return len(p), nil
}

func TestLinesStayWholeWhileTheFormatChanges(t *testing.T) {
	var out halves
	log, control, err := NewLogger(&out, LogOptions{Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			derived := log.With("a", 1)
			for range 200 {
				derived.Info("line", "b", 2)
			}
		})
	}
	for range 50 {
		for _, f := range []string{"text", "json"} {
			if err := control.Set("", f); err != nil {
				t.Error(err)
			}
		}
	}
	wg.Wait()
	if len(out.lines) != 800 {
		t.Errorf("%d lines", len(out.lines))
	}
}
