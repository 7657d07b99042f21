package host

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/listen"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/policies"
)

// ErrDraining is what attempts to change a host that is draining return.
var ErrDraining = errors.New("the host is draining")

// Apply puts next into force, all of it or nothing. The error is config.Problems when next does not fit this host; what
// runs is then untouched. Either way the attempt is recorded, and returned. On a host that is draining nothing is, and
// the error is ErrDraining.
func (h *Host) Apply(ctx context.Context, next *config.Set) (Revision, error) {
	return h.apply(ctx, next, change{source: SourceApply})
}

func (h *Host) apply(ctx context.Context, next *config.Set, c change) (Revision, error) {
	h.applying.Lock()
	defer h.applying.Unlock()
	ctx, interrupt := context.WithCancel(ctx)
	defer interrupt()
	stop := context.AfterFunc(h.changing, interrupt)
	defer stop()
	if h.draining.Load() {
		return Revision{}, ErrDraining
	}
	begin := time.Now()
	prev := h.current.Load()
	p := &plan{host: h, prev: prev, set: next}
	g, err := p.build(ctx)
	if err == nil {
		err = p.commit(ctx, g)
	}
	if err != nil {
		p.abandon()
		if h.draining.Load() {
			return Revision{}, ErrDraining
		}
		r := h.rejected(next.Hash, next.Files, c, err)
		h.record(r)
		return r, err
	}
	r := Revision{
		Number: g.revision, Hash: next.Hash, At: begin, Source: c.source, Who: c.who, Why: c.why, Result: ResultApplied,
		Took: time.Since(begin), Rules: len(next.Rules), Files: next.Files, set: next,
		Warnings: g.warnings.Few(),
	}
	if prev != nil {
		r.Changes = config.Diff(prev.set, next).Few()
		r.Warnings = append(config.Lost(prev.set, next).Warnings().Few(), r.Warnings...)
	}
	h.record(r)
	return r, nil
}

// plan is one attempt to make a generation. Until commit it changes nothing that calls meet.
type plan struct {
	host   *Host
	prev   *generation
	set    *config.Set
	opened []*instance          // new ones, to be closed when the plan is abandoned
	taken  map[string]*instance // of the previous generation, by service, still to be placed
	tuned  []*tuning            // instances that take changed options
	link   *link                // to other hosts, opened for this plan

	openedUpstreams []*upstream
	openedClusters  []*cluster
	listeners       *listen.Plan
}

// build opens and compiles everything.
func (p *plan) build(ctx context.Context) (*generation, error) {
	problems := newCheck(p.set, p.host.registry).problems.Sort()
	if err := problems.Err(); err != nil {
		return nil, err
	}
	g := &generation{revision: 1, set: p.set, warnings: problems.Warnings(), identity: newIdentity(p.set, p.host.name)}
	var before *policies.Snapshot
	if p.prev != nil {
		g.revision = p.prev.revision + 1
		before = p.prev.policies
		g.pending = config.Diff(p.host.first, p.set).Pending()
	}
	if err := p.openClusters(g); err != nil {
		return nil, err
	}
	if err := p.openUpstreams(g); err != nil {
		return nil, err
	}
	if err := p.openServices(ctx, g); err != nil {
		return nil, err
	}
	var err error
	o := compileOptions(p.set, p.host.name)
	o.Revision, o.OnTransition, o.Pool = g.revision, p.host.ruleChanged, p.host.endpoints
	g.policies, err = policies.Compile(p.set.Rules, g.targets(), before, o)
	if err != nil {
		return nil, err
	}
	g.warnings = append(g.warnings, g.policies.Unmatched()...).Sort()
	g.bind(p.host.metrics)
	if err := p.openRemote(ctx, g); err != nil {
		return nil, err
	}
	if err := p.host.newGateways(g); err != nil {
		return nil, err
	}
	if err := p.host.newOperators(g); err != nil {
		return nil, err
	}
	p.listeners, err = p.host.listeners.Plan(ctx, p.set)
	return g, err
}

// commit moves the pointer. What can still fail comes first: handlers that take changed options while they run.
func (p *plan) commit(ctx context.Context, g *generation) error {
	if err := p.tune(ctx); err != nil {
		return err
	}
	h := p.host
	h.current.Store(g)
	g.policies.Activate()
	h.expiries.follow(p.set)
	p.succeed()
	p.bind(g)
	h.limit(p.set.Manifest.Host.Limits)
	p.listeners.Commit(h.life)
	if h.logLevel != nil {
		logs := p.set.Manifest.Telemetry.Logs
		if err := h.logLevel.Set(logs.Level, logs.Format); err != nil {
			h.log.Warn("the log cannot be changed", "error", err)
		}
	}
	if h.listeners.IsOpen() {
		h.publish()
	}
	h.trace(p.set.Manifest)
	p.retire(g)
	return nil
}

// abandon takes back what a failed plan has opened.
func (p *plan) abandon() {
	if p.listeners != nil {
		p.listeners.Abandon()
	}
	p.host.retiring.Go(func() {
		p.host.discardAll(p.opened, p.openedUpstreams)
		if p.link != nil {
			p.host.leave(p.link)
		}
		for _, c := range p.openedClusters {
			p.host.closeCluster(c)
		}
	})
}

// rejected is an attempt that changed nothing.
func (h *Host) rejected(hash string, files []config.File, c change, err error) Revision {
	r := Revision{
		Hash: hash, At: time.Now(), Source: c.source, Who: c.who, Why: c.why, Result: ResultRejected, Files: files,
	}
	if g := h.current.Load(); g != nil {
		r.Number = g.revision
	}
	if !errors.As(err, &r.Problems) {
		r.Error = err.Error()
	}
	r.Problems = r.Problems.Few()
	return r
}

// record remembers an attempt, logs it and tells who wants to know.
func (h *Host) record(r Revision) {
	h.history.add(r)
	h.metrics.Reloaded(telemetry.Reload{Result: r.Result, Revision: r.Number, InSync: h.inSync(r), At: r.At})
	h.logRevision(r)
	if h.onChange != nil {
		h.onChange(r)
	}
}

func (h *Host) logRevision(r Revision) {
	attrs := []slog.Attr{slog.Int("revision", r.Number), slog.String("source", r.Source)}
	if r.Who != "" {
		attrs = append(attrs, slog.String("who", r.Who))
	}
	level, msg := slog.LevelInfo, "reload applied"
	switch r.Result {
	case ResultUnchanged:
		msg = "reload found nothing changed"
	case ResultRejected:
		if r.Source == SourceStart {
			return // nothing runs yet; whoever starts the host is told
		}
		level, msg = slog.LevelError, "reload rejected, the running set stays"
		if r.Error != "" {
			attrs = append(attrs, slog.String("error", r.Error))
		}
		if len(r.Problems) > 0 {
			attrs = append(attrs, slog.Any("problems", problemLines(r.Problems)))
		}
	default:
		attrs = append(attrs, slog.Int("rules", r.Rules), slog.Duration("took", r.Took))
		if len(r.Changes) > 0 {
			attrs = append(attrs, slog.Any("changes", r.Changes.Lines()))
		}
		if r.Source == SourceStart {
			msg = "set applied"
		}
	}
	h.log.LogAttrs(context.Background(), level, msg, attrs...)
	for _, w := range r.Warnings {
		h.warn(w)
	}
}

// warn logs a warning, with its place in a file as attributes.
func (h *Host) warn(w config.Problem) {
	var attrs []slog.Attr
	if w.File != "" {
		attrs = append(attrs, slog.String("file", w.File))
	}
	if w.Line > 0 {
		attrs = append(attrs, slog.Int("line", w.Line), slog.Int("column", w.Column))
	}
	w.File = ""
	h.log.LogAttrs(context.Background(), slog.LevelWarn, w.String(), attrs...)
}

func problemLines(p config.Problems) []string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return lines
}
