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

// lockedWriter keeps lines apart when two handlers write to one place, as they do while the format changes.
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
			a = redact(groups, a)
			if len(groups) == 0 && a.Key == slog.MessageKey && a.Value.Kind() == slog.KindString {
				a.Value = slog.StringValue(printable(a.Value.String()))
				return a
			}
			a.Value = harmless(a.Value)
			return a
		},
	})
}

// escapes are kept from the terminal. tint writes an ESC in a value through, and makes one of the four characters
// \x1b, so that a peer's text could move the cursor or repaint a line.
var escapes = strings.NewReplacer("\x1b", "\u241b", `\x1b`, `\x1B`)

// harmless is v as text that a terminal shows and does not obey; tint quotes what else is not printable.
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

// safely runs a method of a value that may be a nil pointer in an interface.
func safely(f func() string) (s string) {
	defer func() {
		if r := recover(); r != nil {
			s = "!PANIC: " + code.PanicText(r)
		}
	}()
	return f()
}

// printable is s on one line, with all that a terminal would obey written out.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) < 0 {
		return s
	}
	q := strconv.Quote(s)
	q = q[1 : len(q)-1]
	return strings.ReplaceAll(q, `\"`, `"`)
}
