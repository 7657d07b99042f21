package telemetry

import (
	"context"
	"log/slog"
	"slices"
)

// subjectKeys are the attributes that make lines of the parts of a host alike. What their values are is known to the
// program and the manifest; whatever a peer may choose is not among them.
var subjectKeys = []string{"service", "method", "upstream", "resolve", "listener", "reason"}

// Logger returns the log for parts that say what happens to each call and connection: floods of their warnings and errors
// are summarised, and all else goes through.
func (s *Summary) Logger() *slog.Logger { return slog.New(&guarded{summary: s, next: s.log.Handler()}) }

// guarded is the handler of a log without floods.
type guarded struct {
	summary *Summary
	next    slog.Handler
	kind    Kind // from the attributes that were added on the way
	grouped bool
}

// Enabled reports whether lines of a level are written.
func (g *guarded) Enabled(ctx context.Context, l slog.Level) bool { return g.next.Enabled(ctx, l) }

// Handle writes a line, or counts it.
func (g *guarded) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		kind, lines := g.kind, 1
		if !g.grouped {
			r.Attrs(func(a slog.Attr) bool {
				kind.add(a)
				if a.Key == suppressedKey && a.Value.Kind() == slog.KindInt64 { // the part has a guard of its own
					lines = int(a.Value.Int64())
				}
				return true
			})
		}
		if !g.summary.first(r.Level, flow{r.Message, kind}, lines) {
			return nil
		}
	}
	return g.next.Handle(ctx, r)
}

func (k *Kind) add(a slog.Attr) {
	if !slices.Contains(subjectKeys, a.Key) {
		return
	}
	for i := range k.Subject {
		if k.Subject[i][0] == "" {
			k.Subject[i] = [2]string{a.Key, a.Value.String()}
			return
		}
	}
}

// WithAttrs returns the handler of a log whose lines have these attributes too.
func (g *guarded) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *g
	with.next = g.next.WithAttrs(attrs)
	if !g.grouped {
		for _, a := range attrs {
			with.kind.add(a)
		}
	}
	return &with
}

// WithGroup returns the handler of a log whose further attributes stand in a group.
func (g *guarded) WithGroup(name string) slog.Handler {
	with := *g
	with.next, with.grouped = g.next.WithGroup(name), g.grouped || name != ""
	return &with
}
