package telemetry

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	summaryInterval = 10 * time.Second
	mostSubjects    = 64 // of one message
	mostSources     = 4  // of one subject
)

// suppressedKey is the attribute that says how many lines one stands for.
const suppressedKey = "suppressed"

// LogAttrs are attributes that alike lines have in common, each a key and a value; those without a value are left out.
type LogAttrs [4][2]string

// LogKey says which lines of one message are alike.
type LogKey struct {
	Subject LogAttrs // of the program, the manifest and the policy files
	Source  LogAttrs // of callers and peers, who may choose any number of them
}

// LogSampler keeps floods out of the log: the first line of a kind is written at once, and those that follow are one line
// per interval: the same message and the attributes of the kind, with the number of lines as suppressed. Kinds beyond
// what is told apart share a line without the attributes in which they differ. It is safe for concurrent use.
type LogSampler struct {
	log      *slog.Logger
	interval time.Duration

	mu       sync.Mutex
	floods   map[flow]*flood
	kinds    map[flow]int   // of each subject
	subjects map[string]int // of each message
	closed   bool
}

// flow is what floods are told apart by.
type flow struct {
	msg string
	LogKey
}

type flood struct {
	level slog.Level
	more  int
	timer *time.Timer
}

// NewLogSampler makes a LogSampler over a log; an interval of zero is ten seconds.
func NewLogSampler(log *slog.Logger, interval time.Duration) *LogSampler {
	if interval <= 0 {
		interval = summaryInterval
	}
	return &LogSampler{
		log: log, interval: interval, floods: make(map[flow]*flood), kinds: make(map[flow]int), subjects: make(map[string]int),
	}
}

// Log writes a line, or counts it when one of its kind was written a short while ago. The attributes are those of the
// kind and more, which is what only this line has; it is called only when the line is written, and may be nil.
func (s *LogSampler) Log(level slog.Level, msg string, kind LogKey, more func() []slog.Attr) {
	if !s.log.Enabled(context.Background(), level) || !s.first(level, flow{msg, kind}, 1) {
		return
	}
	attrs := kind.attrs()
	if more != nil {
		attrs = append(attrs, more()...)
	}
	s.log.LogAttrs(context.Background(), level, msg, attrs...)
}

func (k LogKey) attrs() []slog.Attr {
	var attrs []slog.Attr
	for _, names := range [...]LogAttrs{k.Subject, k.Source} {
		for _, n := range names {
			if n[1] != "" {
				attrs = append(attrs, slog.String(n[0], n[1]))
			}
		}
	}
	return attrs
}

// first reports whether a line is to be written, and else counts it, as so many.
func (s *LogSampler) first(level slog.Level, w flow, lines int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return true
	}
	f, ok := s.floods[w]
	if !ok {
		w = s.bounded(w)
		f, ok = s.floods[w]
	}
	if ok {
		f.more += lines
		return false
	}
	s.begin(level, w.clone())
	return true
}

func (s *LogSampler) begin(level slog.Level, w flow) {
	f := &flood{level: level}
	f.timer = time.AfterFunc(s.interval, func() { s.tick(w, f) })
	s.floods[w] = f
	if s.kinds[w.subject()] == 0 {
		s.subjects[w.msg]++
	}
	s.kinds[w.subject()]++
}

func (w flow) subject() flow {
	w.Source = LogAttrs{}
	return w
}

// clone is what may be kept: texts of peers may be parts of what they sent.
func (w flow) clone() flow {
	for _, names := range [...]*LogAttrs{&w.Subject, &w.Source} {
		for i := range names {
			names[i][1] = strings.Clone(names[i][1])
		}
	}
	return w
}

// bounded is the flow that a new one belongs to: itself, while there are few.
func (s *LogSampler) bounded(w flow) flow {
	switch n := s.kinds[w.subject()]; {
	case n == 0 && s.subjects[w.msg] >= mostSubjects:
		w.LogKey = LogKey{}
	case n >= mostSources:
		w.Source = LogAttrs{}
	}
	return w
}

func (s *LogSampler) tick(w flow, f *flood) {
	s.mu.Lock()
	more := f.more
	f.more = 0
	switch {
	case s.closed:
		more = 0
	case more > 0:
		f.timer.Reset(s.interval)
	default:
		s.forget(w)
	}
	s.mu.Unlock()
	s.summarise(w, f.level, more)
}

func (s *LogSampler) forget(w flow) {
	delete(s.floods, w)
	subject := w.subject()
	s.kinds[subject]--
	if s.kinds[subject] > 0 {
		return
	}
	delete(s.kinds, subject)
	s.subjects[w.msg]--
	if s.subjects[w.msg] == 0 {
		delete(s.subjects, w.msg)
	}
}

func (s *LogSampler) summarise(w flow, level slog.Level, more int) {
	if more == 0 {
		return
	}
	attrs := append(w.attrs(), slog.Int(suppressedKey, more), slog.Duration("within", s.interval))
	s.log.LogAttrs(context.Background(), level, w.msg, attrs...)
}

// Close writes what was counted and not yet said; later lines are written one by one.
func (s *LogSampler) Close() {
	for w, f := range s.stop() {
		s.summarise(w, f.level, f.more)
	}
}

func (s *LogSampler) stop() map[flow]flood {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := make(map[flow]flood, len(s.floods))
	for w, f := range s.floods {
		f.timer.Stop()
		left[w] = *f
	}
	s.closed, s.floods = true, nil
	return left
}

// subjectKeys are the attributes that make lines of the parts of a host alike. What their values are is known to the
// program and the manifest; whatever a peer may choose is not among them.
var subjectKeys = []string{"service", "method", "upstream", "resolve", "listener", "reason"}

// Logger returns the log for parts that say what happens to each call and connection: floods of their warnings and errors
// are summarised, and all else goes through.
func (s *LogSampler) Logger() *slog.Logger {
	return slog.New(&guarded{summary: s, next: s.log.Handler()})
}

// guarded is the handler of a log without floods.
type guarded struct {
	summary *LogSampler
	next    slog.Handler
	kind    LogKey // from the attributes that were added on the way
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

func (k *LogKey) add(a slog.Attr) {
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
