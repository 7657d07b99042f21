package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"
)

const (
	summaryInterval = 10 * time.Second
	summaryKinds    = 256
)

// Kind says which lines are alike. It holds names of the program, the manifest and the policy files; what differs
// from line to line (a caller, a peer) belongs in the attributes.
type Kind struct{ Event, Subject string }

// Summary keeps floods out of the log: the first line of a kind is written at once, and those that follow are one line
// per interval, "and 4,812 more like it in 10s". It is safe for concurrent use.
type Summary struct {
	log      *slog.Logger
	interval time.Duration

	mu     sync.Mutex
	floods map[Kind]*flood
	closed bool
}

type flood struct {
	level slog.Level
	more  int
	timer *time.Timer
}

// NewSummary makes a Summary over a log; an interval of zero is ten seconds.
func NewSummary(log *slog.Logger, interval time.Duration) *Summary {
	if interval <= 0 {
		interval = summaryInterval
	}
	return &Summary{log: log, interval: interval, floods: make(map[Kind]*flood)}
}

// Log writes a line, or counts it when one of its kind was written a short while ago. attrs is called only when the
// line is written; it may be nil.
func (s *Summary) Log(level slog.Level, kind Kind, msg string, attrs func() []slog.Attr) {
	if !s.log.Enabled(context.Background(), level) || !s.first(level, kind) {
		return
	}
	var list []slog.Attr
	if attrs != nil {
		list = attrs()
	}
	s.log.LogAttrs(context.Background(), level, msg, list...)
}

func (s *Summary) first(level slog.Level, kind Kind) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return true
	}
	f, ok := s.floods[kind]
	if !ok && len(s.floods) >= summaryKinds {
		kind = Kind{Event: "other"}
		f, ok = s.floods[kind]
	}
	if ok {
		f.more++
		return false
	}
	f = &flood{level: level}
	f.timer = time.AfterFunc(s.interval, func() { s.tick(kind, f) })
	s.floods[kind] = f
	return true
}

func (s *Summary) tick(kind Kind, f *flood) {
	s.mu.Lock()
	more := f.more
	f.more = 0
	switch {
	case s.closed:
		more = 0
	case more > 0:
		f.timer.Reset(s.interval)
	default:
		delete(s.floods, kind)
	}
	s.mu.Unlock()
	s.summarise(kind, f.level, more)
}

func (s *Summary) summarise(kind Kind, level slog.Level, more int) {
	if more == 0 {
		return
	}
	s.log.LogAttrs(context.Background(), level,
		fmt.Sprintf("%s: and %s more like it in %s", kind.Event, thousands(more), short(s.interval)), slog.String("subject", kind.Subject))
}

// Close writes what was counted and not yet said; later lines are written one by one.
func (s *Summary) Close() {
	for kind, f := range s.stop() {
		s.summarise(kind, f.level, f.more)
	}
}

func (s *Summary) stop() map[Kind]flood {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := make(map[Kind]flood, len(s.floods))
	for kind, f := range s.floods {
		f.timer.Stop()
		left[kind] = *f
	}
	s.closed, s.floods = true, nil
	return left
}

func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// short is d as people write it: 10s and 1m rather than 1m0s.
func short(d time.Duration) string {
	if d >= time.Minute && d%time.Minute == 0 {
		return strconv.Itoa(int(d/time.Minute)) + "m"
	}
	return d.String()
}
