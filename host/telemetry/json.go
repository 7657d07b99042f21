package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"
)

func newJSONHandler(w io.Writer, level slog.Leveler) slog.Handler {
	return slog.NewJSONHandler(plainWriter{w}, &slog.HandlerOptions{Level: level, ReplaceAttr: jsonAttr})
}

// jsonAttr says durations with their unit; slog's own form is a bare count of nanoseconds.
func jsonAttr(groups []string, a slog.Attr) slog.Attr {
	if a = redact(groups, a); a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// plainWriter writes out, as JSON escapes, what slog leaves in a string and a terminal that shows the log would obey:
// DEL, the C1 controls and the marks that turn the direction of a line. All of them stand in strings only.
type plainWriter struct{ w io.Writer }

func (p plainWriter) Write(line []byte) (int, error) {
	s := string(line)
	if strings.IndexFunc(s, isCommand) < 0 {
		return p.w.Write(line)
	}
	var b strings.Builder
	for _, r := range s {
		if isCommand(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	if _, err := io.WriteString(p.w, b.String()); err != nil {
		return 0, err
	}
	return len(line), nil
}

func isCommand(r rune) bool {
	return r >= 0x7f && r <= 0x9f || r > 0x9f && r < 0x10000 && unicode.Is(unicode.Bidi_Control, r)
}
