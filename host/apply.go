package host

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/outgoing"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/registry"
)

// ErrDraining is the error of attempts to change a host that is draining.
var ErrDraining = errors.New("the host is draining")

// changes replaces the generation of a host.
type changes struct {
	*core
	registry *registry.Registry
	parts    []part      // a part uses those before it
	first    *config.Set // what restart-class settings were started with
	onChange func(Revision)
	history  history

	draining atomic.Bool
	changing context.Context //nolint:containedctx // its end gives up the change that is being made, and those to come
	settled  context.CancelFunc
	applying sync.Mutex // held while a generation is made
}

// change is the origin of an attempt.
type change struct {
	source   string
	who, why string
	force    bool
	read     string // hash of the content that the watcher has just read
	seen     string // hash of a content that was seen before and is applied if it is still there
}

// apply puts next into force, all of it or nothing.
func (c *changes) apply(ctx context.Context, next *config.Set, from change) (Revision, error) {
	c.applying.Lock()
	defer c.applying.Unlock()
	ctx, interrupt := context.WithCancel(ctx)
	defer interrupt()
	stop := context.AfterFunc(c.changing, interrupt)
	defer stop()
	if c.draining.Load() {
		return Revision{}, ErrDraining
	}
	begin := time.Now()
	prev := c.current.Load()
	g, err := c.replace(ctx, prev, next)
	if err != nil {
		if c.draining.Load() {
			return Revision{}, ErrDraining
		}
		r := c.rejected(next.Hash, next.Files, from, err)
		c.record(r, nil)
		return r, err
	}
	r := Revision{
		Number: g.revision, Hash: next.Hash, At: begin, Source: from.source, Who: from.who, Why: from.why, Result: ResultApplied,
		Took: admin.Seconds(time.Since(begin)), Rules: len(next.Rules), Files: next.Files,
		Warnings: g.warnings.Few(),
	}
	if prev != nil {
		r.Changes = admin.Changes(config.Diff(prev.set, next).Few())
		r.Warnings = append(config.Lost(prev.set, next).Warnings().Few(), r.Warnings...)
	}
	c.record(r, next)
	return r, nil
}

// replace makes the generation of a set and puts it into force. With an error, what was opened for it is closed.
func (c *changes) replace(ctx context.Context, prev *generation, set *config.Set) (*generation, error) {
	g, err := c.newGeneration(prev, set)
	if err != nil {
		return nil, err
	}
	var steps []step
	for _, p := range c.parts {
		s, err := p(ctx, prev, g)
		if s != nil {
			steps = append(steps, s)
		}
		if err != nil {
			c.abandon(steps)
			return nil, err
		}
	}
	for _, s := range steps {
		if p, ok := s.(preparer); ok {
			if err := p.prepare(ctx); err != nil {
				c.abandon(steps)
				return nil, err
			}
		}
	}
	c.current.Store(g)
	g.policies.Activate() // the limits of state that is shared with calls of the generation before
	for _, s := range steps {
		s.Commit(c.life)
	}
	c.retire(steps)
	return g, nil
}

// newGeneration checks a set and returns a generation of it that has no parts yet.
func (c *changes) newGeneration(prev *generation, set *config.Set) (*generation, error) {
	problems := newCheck(set, c.registry).problems.Sort()
	if err := problems.Err(); err != nil {
		return nil, err
	}
	g := &generation{revision: 1, set: set, out: outgoing.Connections{Set: set}, warnings: problems.Warnings(), identity: newIdentity(set, c.name)}
	if prev != nil {
		g.revision = prev.revision + 1
		g.pending = config.Diff(c.first, set).Pending()
	}
	return g, nil
}

func (c *changes) abandon(steps []step) {
	for _, s := range slices.Backward(steps) {
		s.Abandon()
	}
	c.retire(steps)
}

// retire has the steps close replaced resources, users before what they use.
func (c *changes) retire(steps []step) {
	before := make(chan struct{})
	close(before)
	for _, s := range slices.Backward(steps) {
		user, done := before, make(chan struct{})
		c.retiring.Go(func() {
			defer close(done)
			s.Retire(c.life, user)
		})
		before = done
	}
}

// locked calls f while no generation is being made.
func (c *changes) locked(f func(g *generation)) {
	c.applying.Lock()
	defer c.applying.Unlock()
	f(c.current.Load())
}

// upstreamsGone drops the metrics of upstreams that are no longer in use.
func (c *changes) upstreamsGone() {
	c.locked(func(g *generation) {
		c.metrics.RetainUpstreams(func(name string) bool { return name == "" || g.connections().Upstream(name) != nil })
	})
}

// methodsGone drops the metrics of methods that are no longer served.
func (c *changes) methodsGone() {
	c.locked(func(g *generation) {
		c.metrics.Retain(func(full string) bool { return g != nil && g.routes.Serves(full) })
	})
}

// stop ends all changing. A change that is being made is given up.
func (c *changes) stop() {
	c.draining.Store(true)
	c.settled()
	c.locked(func(*generation) {}) // waits for it
}

// rejected returns an attempt that changed nothing.
func (c *changes) rejected(hash string, files []config.File, from change, err error) Revision {
	r := Revision{
		Hash: hash, At: time.Now(), Source: from.source, Who: from.who, Why: from.why, Result: ResultRejected, Files: files,
	}
	if g := c.current.Load(); g != nil {
		r.Number = g.revision
	}
	if !errors.As(err, &r.Problems) {
		r.Error = err.Error()
	}
	r.Problems = r.Problems.Few()
	return r
}

// record keeps, logs and reports an attempt. set is the one that was applied.
func (c *changes) record(r Revision, set *config.Set) {
	c.history.add(attempt{r, set})
	c.metrics.Reloaded(telemetry.Reload{Result: r.Result, Revision: r.Number, InSync: c.inSync(r), At: r.At})
	c.logRevision(r)
	if c.onChange != nil {
		c.onChange(r)
	}
}

// inSync reports whether the running configuration matches the files after the last attempt.
func (c *changes) inSync(last Revision) bool {
	g := c.current.Load()
	return g != nil && last.Result != ResultRejected && g.set.Fallback == ""
}

func (c *changes) logRevision(r Revision) {
	attrs := []slog.Attr{slog.Int("revision", r.Number), slog.String("source", r.Source)}
	if r.Who != "" {
		attrs = append(attrs, slog.String("who", r.Who))
	}
	level, msg := slog.LevelInfo, "configuration reloaded"
	switch r.Result {
	case ResultUnchanged:
		msg = "configuration unchanged"
	case ResultRejected:
		if r.Source == SourceStart {
			return // nothing runs yet; Open returns the error
		}
		level, msg = slog.LevelError, "configuration rejected, the running one stays"
		if r.Error != "" {
			attrs = append(attrs, slog.String("error", r.Error))
		}
		if len(r.Problems) > 0 {
			attrs = append(attrs, slog.Any("problems", problemLines(r.Problems)))
		}
	default:
		attrs = append(attrs, slog.Int("rules", r.Rules), slog.Duration("took", time.Duration(r.Took)))
		if len(r.Changes) > 0 {
			attrs = append(attrs, slog.Any("changes", r.Changes.Lines()))
		}
		if r.Source == SourceStart {
			msg = "configuration applied"
		}
	}
	c.log.LogAttrs(context.Background(), level, msg, attrs...)
	for _, w := range r.Warnings {
		c.warn(w)
	}
}

// warn logs a warning, with its place in a file as attributes.
func (c *changes) warn(w config.Problem) {
	var attrs []slog.Attr
	if w.File != "" {
		attrs = append(attrs, slog.String("file", w.File))
	}
	if w.Line > 0 {
		attrs = append(attrs, slog.Int("line", w.Line), slog.Int("column", w.Column))
	}
	w.File = ""
	c.log.LogAttrs(context.Background(), slog.LevelWarn, w.String(), attrs...)
}

func problemLines(p config.Problems) []string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return lines
}
