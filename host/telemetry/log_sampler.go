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
	sampleInterval = 10 * time.Second
	maxSubjects    = 64 // of one message
	maxSources     = 4  // of one subject
)

// suppressedKey is the attribute with the number of lines that were suppressed in favor of a line.
const suppressedKey = "suppressed"

// LogAttrs are attributes shared by similar lines, as keys and values; those without a value are left out.
type LogAttrs [4][2]string

// LogKey distinguishes lines with the same message.
type LogKey struct {
	Subject LogAttrs // from the program, the manifest and the policy files
	Source  LogAttrs // from callers and peers, which can make up any number of values
}

func (k LogKey) attrs() []slog.Attr {
	var attrs []slog.Attr
	for _, list := range [...]LogAttrs{k.Subject, k.Source} {
		for _, a := range list {
			if a[1] != "" {
				attrs = append(attrs, slog.String(a[0], a[1]))
			}
		}
	}
	return attrs
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

// LogSampler limits repeated log lines: it writes the first line of a key at once, and then one line in ten seconds with the
// same message and attributes, and with the number of lines left out as "suppressed". Keys beyond a bound share a line
// without the attributes in which they differ. It is safe for concurrent use.
type LogSampler struct {
	log *slog.Logger

	mu       sync.Mutex
	samples  map[sampleKey]*sample
	sources  map[sampleKey]int // by subject
	subjects map[string]int    // by message
	closed   bool
}

// sample counts the lines of one key that were suppressed.
type sample struct {
	level      slog.Level
	suppressed int
	timer      *time.Timer
}

type sampleKey struct {
	msg string
	LogKey
}

func (k sampleKey) subject() sampleKey {
	k.Source = LogAttrs{}
	return k
}

// clone copies a key for keeping: its values may be parts of larger messages.
func (k sampleKey) clone() sampleKey {
	for _, list := range [...]*LogAttrs{&k.Subject, &k.Source} {
		for i := range list {
			list[i][1] = strings.Clone(list[i][1])
		}
	}
	return k
}

// NewLogSampler returns a LogSampler that writes to log.
func NewLogSampler(log *slog.Logger) *LogSampler {
	return &LogSampler{log: log, samples: make(map[sampleKey]*sample), sources: make(map[sampleKey]int), subjects: make(map[string]int)}
}

// Log writes a line with the attributes of key and more, or counts it if a line with that key was written recently. more
// returns attributes that are not part of the key. It is called only if the line is written, and may be nil.
func (s *LogSampler) Log(level slog.Level, msg string, key LogKey, more func() []slog.Attr) {
	if !s.log.Enabled(context.Background(), level) || !s.first(level, sampleKey{msg, key}, 1) {
		return
	}
	attrs := key.attrs()
	if more != nil {
		attrs = append(attrs, more()...)
	}
	s.log.LogAttrs(context.Background(), level, msg, attrs...)
}

// first reports whether to write a line, and otherwise counts it as lines lines.
func (s *LogSampler) first(level slog.Level, k sampleKey, lines int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return true
	}
	f, ok := s.samples[k]
	if !ok {
		k = s.bounded(k)
		f, ok = s.samples[k]
	}
	if ok {
		f.suppressed += lines
		return false
	}
	s.begin(level, k.clone())
	return true
}

// bounded returns the key under which to count a new key: itself, while there are few.
func (s *LogSampler) bounded(k sampleKey) sampleKey {
	switch n := s.sources[k.subject()]; {
	case n == 0 && s.subjects[k.msg] >= maxSubjects:
		k.LogKey = LogKey{}
	case n >= maxSources:
		k.Source = LogAttrs{}
	}
	return k
}

func (s *LogSampler) begin(level slog.Level, k sampleKey) {
	f := &sample{level: level}
	f.timer = time.AfterFunc(sampleInterval, func() { s.tick(k, f) })
	s.samples[k] = f
	if s.sources[k.subject()] == 0 {
		s.subjects[k.msg]++
	}
	s.sources[k.subject()]++
}

func (s *LogSampler) tick(k sampleKey, f *sample) {
	s.mu.Lock()
	if s.closed { // Close writes what is left
		s.mu.Unlock()
		return
	}
	n := f.suppressed
	if f.suppressed = 0; n > 0 {
		f.timer.Reset(sampleInterval)
	} else {
		s.remove(k)
	}
	s.mu.Unlock()
	s.write(k, f.level, n)
}

func (s *LogSampler) remove(k sampleKey) {
	delete(s.samples, k)
	subject := k.subject()
	s.sources[subject]--
	if s.sources[subject] > 0 {
		return
	}
	delete(s.sources, subject)
	s.subjects[k.msg]--
	if s.subjects[k.msg] == 0 {
		delete(s.subjects, k.msg)
	}
}

func (s *LogSampler) write(k sampleKey, level slog.Level, suppressed int) {
	if suppressed == 0 {
		return
	}
	attrs := append(k.attrs(), slog.Int(suppressedKey, suppressed), slog.Duration("within", sampleInterval))
	s.log.LogAttrs(context.Background(), level, k.msg, attrs...)
}

// Close writes the pending counts; later lines are written unsampled.
func (s *LogSampler) Close() {
	s.mu.Lock()
	pending := s.samples
	for _, f := range pending {
		f.timer.Stop()
	}
	s.closed, s.samples = true, nil
	s.mu.Unlock()
	for k, f := range pending {
		s.write(k, f.level, f.suppressed)
	}
}

// subjectKeys are the attributes that distinguish the lines of a host's components: their values are from the program and
// the manifest, never chosen by a peer.
var subjectKeys = []string{"service", "method", "upstream", "resolve", "listener", "reason"}

// Logger returns a logger for components that log for each call and connection: it samples warnings and errors.
func (s *LogSampler) Logger() *slog.Logger {
	return slog.New(&samplingHandler{sampler: s, next: s.log.Handler()})
}

// samplingHandler is the handler of a sampled logger.
type samplingHandler struct {
	sampler *LogSampler
	next    slog.Handler
	key     LogKey // from the attributes of WithAttrs
	grouped bool
}

// Enabled reports whether lines of a level are written.
func (h *samplingHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.next.Enabled(ctx, l)
}

// Handle writes a line, or counts it.
func (h *samplingHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		key, lines := h.key, 1
		if !h.grouped {
			r.Attrs(func(a slog.Attr) bool {
				key.add(a)
				if a.Key == suppressedKey && a.Value.Kind() == slog.KindInt64 { // the component does its own sampling
					lines = int(a.Value.Int64())
				}
				return true
			})
		}
		if !h.sampler.first(r.Level, sampleKey{r.Message, key}, lines) {
			return nil
		}
	}
	return h.next.Handle(ctx, r)
}

// WithAttrs returns a handler whose lines have these attributes too.
func (h *samplingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.next = h.next.WithAttrs(attrs)
	if !h.grouped {
		for _, a := range attrs {
			with.key.add(a)
		}
	}
	return &with
}

// WithGroup returns a handler whose further attributes are in a group.
func (h *samplingHandler) WithGroup(name string) slog.Handler {
	with := *h
	with.next, with.grouped = h.next.WithGroup(name), h.grouped || name != ""
	return &with
}
