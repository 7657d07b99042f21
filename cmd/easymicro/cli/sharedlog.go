package cli

import (
	"context"
	"log/slog"
	"slices"
)

// onScreen are the lines of the host's log that the screen shows in its own words.
var onScreen = []string{"set applied", "reload applied", "reload rejected, the running set stays", "listening"}

// sharedLog leaves out what the screen shows on the same terminal. Warnings of the files have no words of their own in
// the log, so that the screen leaves these to it.
type sharedLog struct{ slog.Handler }

func shareTerminal(log *slog.Logger, s *screen) *slog.Logger {
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
