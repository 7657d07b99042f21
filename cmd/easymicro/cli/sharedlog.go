package cli

import (
	"context"
	"log/slog"
	"os"
	"slices"
)

// onScreen are the lines of the host's log that the screen shows in its own words.
var onScreen = []string{
	"set applied", "reload applied", "reload rejected, the running set stays", "reload found nothing changed", "listening",
}

// oneOutput reports whether two streams end in one place, as both do on a terminal and with 2>&1.
func oneOutput(a, b any) bool {
	if terminal(a) && terminal(b) {
		return true
	}
	one, ok := a.(*os.File)
	other, both := b.(*os.File)
	if !ok || !both {
		return false
	}
	x, err := one.Stat()
	if err != nil {
		return false
	}
	y, err := other.Stat()
	return err == nil && os.SameFile(x, y)
}

// sharedLog leaves out what the screen shows in the same place. Warnings of the files have no words of their own in the
// log, so that the screen leaves these to it.
type sharedLog struct{ slog.Handler }

func shareOutput(log *slog.Logger, s *screen) *slog.Logger {
	s.warnings = !log.Enabled(context.Background(), slog.LevelWarn)
	return slog.New(sharedLog{log.Handler()})
}

func (l sharedLog) Handle(ctx context.Context, r slog.Record) error {
	if slices.Contains(onScreen, r.Message) {
		return nil
	}
	return l.Handler.Handle(ctx, r)
}

func (l sharedLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return sharedLog{l.Handler.WithAttrs(attrs)}
}

func (l sharedLog) WithGroup(name string) slog.Handler { return sharedLog{l.Handler.WithGroup(name)} }
