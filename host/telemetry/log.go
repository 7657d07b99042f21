package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
)

// LogOptions are the initial settings of a log.
type LogOptions struct {
	Level    string // debug, info (the default), warn, error
	Format   string // auto (the default): text on a terminal and JSON elsewhere; text; json
	Terminal bool   // the writer is a terminal
	NoColor  bool   // --no-color, or NO_COLOR is set and not empty
}

// LogControl changes the level and the format of a running log.
type LogControl struct {
	w        io.Writer
	terminal bool
	noColor  bool
	level    slog.LevelVar
	format   atomic.Pointer[format]
}

// format is an output format. Derived loggers compare its address to detect that they are out of date.
type format struct {
	name    string
	handler slog.Handler
}

// NewLogger returns the logger of a host and the control that changes it at run time. Each line is one Write to w, and
// writes do not overlap.
func NewLogger(w io.Writer, o LogOptions) (*slog.Logger, *LogControl, error) {
	c := &LogControl{w: &lockedWriter{w: w}, terminal: o.Terminal, noColor: o.NoColor}
	if err := c.Set(o.Level, o.Format); err != nil {
		return nil, nil, err
	}
	return slog.New(&liveHandler{control: c}), c, nil
}

// Set changes the level and format, also of loggers derived earlier. If it fails, it changes nothing.
func (c *LogControl) Set(level, name string) error {
	l, err := ParseLevel(level)
	if err != nil {
		return err
	}
	handler, name, err := c.newHandler(name)
	if err != nil {
		return err
	}
	c.level.Set(l)
	if f := c.format.Load(); f == nil || f.name != name {
		c.format.Store(&format{name, handler})
	}
	return nil
}

// Level returns the current level.
func (c *LogControl) Level() slog.Level { return c.level.Level() }

func (c *LogControl) newHandler(name string) (slog.Handler, string, error) {
	if name == "" || name == "auto" {
		name = "json"
		if c.terminal {
			name = "text"
		}
	}
	switch name {
	case "text":
		return newTextHandler(c.w, &c.level, c.noColor || !c.terminal), name, nil
	case "json":
		return newJSONHandler(c.w, &c.level), name, nil
	}
	return nil, "", fmt.Errorf("log format %q: want auto, text or json", name)
}

// ParseLevel parses debug, info, warn or error; an empty level is info.
func ParseLevel(s string) (slog.Level, error) {
	switch strings.ToLower(s) {
	case "debug":
		return slog.LevelDebug, nil
	case "", "info":
		return slog.LevelInfo, nil
	case "warn", "warning":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("log level %q: want debug, info, warn or error", s)
}

// liveHandler passes records to the handler of the current format, with the logger's attributes and groups.
type liveHandler struct {
	control *LogControl
	steps   []func(slog.Handler) slog.Handler
	derived atomic.Pointer[derived]
}

type derived struct {
	from    *format
	handler slog.Handler
}

func (h *liveHandler) Enabled(_ context.Context, l slog.Level) bool {
	return l >= h.control.level.Level()
}

func (h *liveHandler) Handle(ctx context.Context, r slog.Record) error {
	f := h.control.format.Load()
	d := h.derived.Load()
	if d == nil || d.from != f {
		handler := f.handler
		for _, step := range h.steps {
			handler = step(handler)
		}
		d = &derived{f, handler}
		h.derived.Store(d)
	}
	return d.handler.Handle(ctx, r)
}

func (h *liveHandler) with(step func(slog.Handler) slog.Handler) slog.Handler {
	return &liveHandler{control: h.control, steps: append(slices.Clip(h.steps), step)}
}

func (h *liveHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	return h.with(func(next slog.Handler) slog.Handler { return next.WithAttrs(attrs) })
}

func (h *liveHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.with(func(next slog.Handler) slog.Handler { return next.WithGroup(name) })
}
