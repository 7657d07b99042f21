package telemetry

import (
	"encoding"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/lmittmann/tint"

	"github.com/easymicro/easymicro/wire/code"
)

// lockedWriter serializes the lines of two handlers, as needed while the format changes.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func newTextHandler(w io.Writer, level slog.Leveler, noColor bool) slog.Handler {
	return tint.NewTextHandler(w, &tint.Options{
		Level: level, NoColor: noColor, TimeFormat: "15:04:05.000",
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			a = redact(a)
			if len(groups) == 0 && a.Key == slog.MessageKey && a.Value.Kind() == slog.KindString {
				a.Value = slog.StringValue(printable(a.Value.String()))
				return a
			}
			a.Value = harmless(a.Value)
			return a
		},
	})
}

// escapes replaces ESC, and the four characters \x1b, which tint turns into an ESC: a peer's text could otherwise move the
// cursor or repaint a line.
var escapes = strings.NewReplacer("\x1b", "\u241b", `\x1b`, `\x1B`)

// harmless returns v as text without terminal escapes; tint quotes everything else that is not printable.
func harmless(v slog.Value) slog.Value {
	switch v.Kind() {
	case slog.KindString:
		return slog.StringValue(escapes.Replace(v.String()))
	case slog.KindAny:
		return harmlessAny(v)
	}
	return v
}

func harmlessAny(v slog.Value) slog.Value {
	var s string
	switch x := v.Any().(type) {
	case slog.Level:
		return v
	case error:
		s = safely(x.Error)
	case encoding.TextMarshaler:
		s = safely(func() string { b, _ := x.MarshalText(); return string(b) })
	case []byte:
		s = string(x)
	default:
		s = fmt.Sprintf("%+v", x)
	}
	return slog.StringValue(escapes.Replace(s))
}

// safely calls a method of a value that may be a nil pointer in an interface.
func safely(f func() string) (s string) {
	defer func() {
		if r := recover(); r != nil {
			s = "!PANIC: " + code.PanicText(r)
		}
	}()
	return f()
}

// printable returns s on one line, with characters that are not printable escaped.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) < 0 {
		return s
	}
	q := strconv.Quote(s)
	q = q[1 : len(q)-1]
	return strings.ReplaceAll(q, `\"`, `"`)
}

func newJSONHandler(w io.Writer, level slog.Leveler) slog.Handler {
	return slog.NewJSONHandler(escapingWriter{w}, &slog.HandlerOptions{Level: level, ReplaceAttr: jsonAttr})
}

// jsonAttr writes durations with their unit; slog writes a bare count of nanoseconds.
func jsonAttr(_ []string, a slog.Attr) slog.Attr {
	if a = redact(a); a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// escapingWriter escapes, as in JSON, characters that a terminal interprets and that slog leaves unescaped: DEL, C1
// controls and bidirectional marks. In JSON they occur only in strings.
type escapingWriter struct{ w io.Writer }

func (e escapingWriter) Write(line []byte) (int, error) {
	s := string(line)
	if strings.IndexFunc(s, isControl) < 0 {
		return e.w.Write(line)
	}
	var b strings.Builder
	for _, r := range s {
		if isControl(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	if _, err := io.WriteString(e.w, b.String()); err != nil {
		return 0, err
	}
	return len(line), nil
}

func isControl(r rune) bool {
	return r >= 0x7f && r <= 0x9f || r > 0x9f && r < 0x10000 && unicode.Is(unicode.Bidi_Control, r)
}

// redacted replaces a secret.
const redacted = "[redacted]"

// secretKeys are attributes whose values are never logged, in lower case and with _ for -.
var secretKeys = map[string]bool{
	"authorization": true, "proxy_authorization": true, "__auth": true, "token": true, "bearer": true, "password": true,
	"passwd": true, "secret": true, "client_secret": true, "api_key": true, "apikey": true, "access_key": true,
	"private_key": true, "cookie": true, "set_cookie": true, "credential": true, "credentials": true,
}

func redact(a slog.Attr) slog.Attr {
	if secretKeys[strings.ReplaceAll(strings.ToLower(a.Key), "-", "_")] && a.Value.Kind() != slog.KindGroup {
		a.Value = slog.StringValue(redacted)
	}
	return a
}
