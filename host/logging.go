package host

import (
	"context"
	"log/slog"
	"time"

	"github.com/easymicro/easymicro/config"
)

// Messages of the log lines about events that OnAttempt and OnReady report as well.
const (
	LogApplied   = "configuration applied"  // at the start
	LogReloaded  = "configuration reloaded" // by an edit or a command
	LogRejected  = "configuration rejected, the running one stays"
	LogUnchanged = "configuration unchanged"
	LogListening = "listening"

	LogRolledBack = "configuration rolled back"
	LogHeld       = "configuration held back"
)

// logAttempt logs an attempt and its warnings.
func logAttempt(log *slog.Logger, r *Attempt) {
	attrs := []slog.Attr{slog.Int("revision", r.Number), slog.String("source", r.Source)}
	if r.Times > 1 {
		attrs = append(attrs, slog.Int("times", r.Times))
	}
	if r.Who != "" {
		attrs = append(attrs, slog.String("who", r.Who))
	}
	level, msg := slog.LevelInfo, LogReloaded
	switch r.Result {
	case ResultUnchanged:
		msg = LogUnchanged
	case ResultRejected:
		if r.Source == SourceStart {
			return // nothing runs yet; Open returns the error
		}
		level, msg = slog.LevelError, LogRejected
		if r.Error != "" {
			attrs = append(attrs, slog.String("error", r.Error))
		}
		if len(r.Problems) > 0 {
			attrs = append(attrs, slog.Any("problems", problemLines(r.Problems)))
		}
	case ResultHeld:
		level, msg = slog.LevelWarn, LogHeld
		attrs = append(attrs, slog.String("why", r.Why))
	default:
		if r.Source == SourceAutoRollback {
			level, msg = slog.LevelError, LogRolledBack
		}
		if r.Why != "" {
			attrs = append(attrs, slog.String("why", r.Why))
		}
		attrs = append(attrs, slog.Int("rules", r.Rules), slog.Duration("took", time.Duration(r.Took)))
		if len(r.Changes) > 0 {
			attrs = append(attrs, slog.Any("changes", r.Changes.Lines()))
		}
		if lines := r.Forecast.Lines(); len(lines) > 0 {
			attrs = append(attrs, slog.Any("forecast", lines))
		}
		if r.Source == SourceStart {
			msg = LogApplied
		}
	}
	log.LogAttrs(context.Background(), level, msg, attrs...)
	for _, w := range r.Warnings {
		logWarning(log, w)
	}
}

// logWarning logs a warning, with its place in a file as attributes.
func logWarning(log *slog.Logger, w config.Problem) {
	var attrs []slog.Attr
	if w.File != "" {
		attrs = append(attrs, slog.String("file", w.File))
	}
	if w.Line > 0 {
		attrs = append(attrs, slog.Int("line", w.Line), slog.Int("column", w.Column))
	}
	w.File = ""
	log.LogAttrs(context.Background(), slog.LevelWarn, w.String(), attrs...)
}
