package host

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/host/traffic"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wildcard"
)

// failures compares the ratio of calls that fail after an edit with that of the five minutes before, for the methods and upstreams
// that the edit affects and for all others. Calls that a rule of this host refused or ended do not count, with one exception: where
// the edit changes a service, or an upstream that it calls, timeouts and breakers that it does not change end calls because of it. Nor do
// calls under breakers that an override has begun to keep open or closed.
type failures struct {
	revision         int // of the edit
	maximum          float64
	minimum          uint64
	affected, others []failing
	edited           map[string]bool // subjects of the edit
	reached          affected
	opened           policies.Opened           // before the edit
	stopped          map[string]*atomic.Uint64 // of affected, by stoppedKey
}

// failing counts the calls of one method of this host or of an upstream.
type failing struct {
	name         string
	calls        *traffic.Method
	start        traffic.Sum
	before       ratio
	stopped      *atomic.Uint64 // calls that timeouts and breakers have ended because of the edit; nil: not counted
	keptBreakers bool           // overrides have begun to keep breakers open or closed: the calls are not judged
}

// ratio counts calls, and those of them that failed.
type ratio struct{ failed, all uint64 }

func (r ratio) plus(o ratio) ratio { return ratio{r.failed + o.failed, r.all + o.all} }

func (r ratio) share() float64 {
	if r.all == 0 {
		return 0
	}
	return float64(r.failed) / float64(r.all)
}

// lately holds shorter periods before an edit. The shortest one with enough calls counts if a larger ratio of them failed than in
// all five minutes: an edit that is made because calls fail is not the cause.
var lately = [...]time.Duration{3 * time.Second, 10 * time.Second, time.Minute}

func newFailing(name string, m *traffic.Method, stopped *atomic.Uint64, minimum uint64, now time.Time) failing {
	f := failing{name: name, calls: m, start: m.Totals(), stopped: stopped}
	f.before = f.ratio(m.Last(traffic.Window, now))
	for _, d := range lately {
		if r := f.ratio(m.Last(d, now)); r.all >= minimum {
			f.before.failed = max(f.before.failed, uint64(r.share()*float64(f.before.all)))
			break
		}
	}
	return f
}

// ratio returns the calls before the edit that failed.
func (f *failing) ratio(sum traffic.Sum) ratio {
	r := ratio{sum.Failed, sum.Judged()}
	if f.stopped != nil {
		r = r.plus(ratio{sum.Stopped, sum.Stopped})
	}
	return r
}

// now returns the calls since the edit.
func (f *failing) now() ratio {
	sum := f.calls.Totals()
	r := ratio{sum.Failed - f.start.Failed, sum.Judged() - f.start.Judged()}
	if f.stopped != nil {
		n := f.stopped.Load()
		r = r.plus(ratio{n, n})
	}
	return r
}

// newFailures returns the failures to compare after an edit; nil if it affects no method. An edit inside the
// window of another has its failures in earlier, and takes the ratios before that one as its baseline.
func newFailures(w *window, edit config.Changes, only map[string]bool, earlier *failures, m *telemetry.Metrics) *failures {
	f := &failures{
		revision: w.next.revision, maximum: float64(w.settings.MaxNewFailures), minimum: uint64(w.settings.MinRequests),
		edited: edit.Subjects(), reached: affectedBy(edit, w.baseline.set, w.next.set),
		opened: policies.OpenedBy(w.baseline.policies), stopped: make(map[string]*atomic.Uint64),
	}
	if earlier != nil {
		f.opened = earlier.opened
	}
	now := time.Now()
	kept := withKeptBreakers(w.baseline, w.next, now)
	add := func(how effect, keptBreakers bool, name, key string, calls *traffic.Method) {
		switch how {
		case unaffected:
			if !keptBreakers {
				f.others = append(f.others, newFailing(name, calls, nil, f.minimum, now))
			}
			return
		case bySettings:
			f.stopped[key] = new(atomic.Uint64)
		case byRules:
		}
		next := newFailing(name, calls, f.stopped[key], f.minimum, now)
		if known := earlier.of(name); known != nil {
			next.before = known.before
		}
		next.keptBreakers = keptBreakers
		f.affected = append(f.affected, next)
	}
	for _, s := range w.next.services {
		for _, method := range s.Methods {
			how := f.reached.service(s.Config)
			if w.rules.Touches(method.Target, only) {
				how = max(how, byRules)
			}
			add(how, kept.service(s.Config) != unaffected, "calls of "+method.Target.Service+"."+method.Name, stoppedKey("", method.Target.String()), method.Traffic())
		}
	}
	for i := range w.next.set.Manifest.Upstreams {
		name := w.next.set.Manifest.Upstreams[i].Name
		for _, method := range m.Upstream(name).Methods() {
			called := "calls to " + name + " (" + strings.Replace(method.Name, "/", ".", 1) + ")"
			add(f.reached.upstreams[name], kept.upstreams[name] != unaffected, called, stoppedKey(name, method.Name), method.Method)
		}
	}
	for _, method := range m.Upstream("").Methods() {
		service, name, _ := strings.Cut(method.Name, "/")
		called := "calls to other hosts (" + strings.Replace(method.Name, "/", ".", 1) + ")"
		if name == "" {
			service, called = "", "calls to other hosts" // those of many methods
		}
		add(f.reached.other(service), kept.other(service) != unaffected, called, stoppedKey(service, method.Name), method.Method)
	}
	if len(f.affected) == 0 {
		return nil
	}
	return f
}

// restart forgets the calls since the edit.
func (f *failures) restart() {
	if f == nil {
		return
	}
	for _, list := range [][]failing{f.affected, f.others} {
		for i := range list {
			list[i].start = list[i].calls.Totals()
		}
	}
	for _, n := range f.stopped {
		n.Store(0)
	}
}

// of returns the calls of a name that the edit affects; nil: none. The next edit calls it while judge runs, which may change start.
func (f *failures) of(name string) *failing {
	if f == nil {
		return nil
	}
	for i := range f.affected {
		if m := &f.affected[i]; m.name == name {
			return m
		}
	}
	return nil
}

// stoppedKey returns the key of a method of this host, or of an upstream, whatever its spelling.
func stoppedKey(upstream, method string) string { return strings.ToLower(upstream + " " + method) }

// stop counts a call that a rule has refused or ended, if that may be because of the edit: by a timeout or a breaker which the edit does
// not change, since what it changes is compared with the baseline.
func (f *failures) stop(set *config.Set, upstream string, t policies.Target, e *code.Error) {
	if f == nil || len(f.stopped) == 0 || e.Reason != code.ReasonTimeout && e.Reason != code.ReasonBreakerOpen {
		return
	}
	n, r := f.stopped[stoppedKey(upstream, t.String())], ruleNamed(set, e.Rule)
	if n != nil && r != nil && !f.edited[r.Name] && r.AutoRollback != config.RollbackOff {
		n.Add(1)
	}
}

// closeBreakers closes the breakers of the calls that the edit affects by settings, if they have opened since. Call it once the edit is
// undone, and g runs.
func (f *failures) closeBreakers(g *generation) {
	if f == nil {
		return
	}
	byService := make(map[string]effect)
	for _, s := range g.services {
		byService[s.Config.Name] = f.reached.service(s.Config)
	}
	f.opened.CloseOthers(g.policies, func(upstream string, t policies.Target) bool {
		if upstream != "" {
			return f.reached.upstreams[upstream] == bySettings
		}
		return byService[t.Service] == bySettings
	})
}

// effect is how an edit affects calls.
type effect uint8

const (
	unaffected effect = iota
	byRules           // what it changes is asked about the calls
	bySettings        // what it changes runs the calls, or is called by them
)

// affected holds the services and upstreams that an edit affects.
type affected struct {
	services, upstreams map[string]effect
	remote              effect         // all services of other hosts
	rules               []*config.Rule // the services of other hosts that they concern
}

func affectedBy(changes config.Changes, before, next *config.Set) affected {
	a := affected{services: make(map[string]effect), upstreams: make(map[string]effect)}
	remote := next.Manifest.Gateway.Remote
	upstreams := func(how effect, of func(*config.Upstream) bool) {
		for i := range next.Manifest.Upstreams {
			if u := &next.Manifest.Upstreams[i]; of(u) {
				a.upstreams[u.Name] = max(a.upstreams[u.Name], how)
			}
		}
	}
	for _, c := range changes {
		what, name, _ := strings.Cut(c.Subject, " ")
		rule, was := next.Rule(c.Subject), before.Rule(c.Subject)
		switch {
		case c.Effect == config.Neutral, c.Path == "publish":
		case rule != nil || was != nil:
			if rule == nil || rule.AutoRollback != config.RollbackOff {
				upstreams(byRules, func(u *config.Upstream) bool { return concerns(was, u.Name) || concerns(rule, u.Name) })
				a.rules = append(a.rules, was, rule)
			}
		case what == "service":
			a.services[name] = bySettings
		case what == "upstream":
			a.upstreams[name] = bySettings
		case c.Subject == "" && strings.HasPrefix(c.Path, "around"): // interceptors of all services
			for i := range next.Manifest.Services {
				a.services[next.Manifest.Services[i].Name] = bySettings
			}
		case strings.HasPrefix(c.Path, "gateway.remote"):
			a.remote = bySettings
		case what == "discovery":
			upstreams(bySettings, func(u *config.Upstream) bool { return u.Resolve.Etcd == name })
			if remote != nil && remote.Etcd == name {
				a.remote = bySettings
			}
		case next.Contents[c.Subject] != nil: // a certificate, key or password
			upstreams(bySettings, func(u *config.Upstream) bool { return u.TLS != nil || u.Resolve.Etcd != "" })
			a.remote = bySettings
		}
	}
	return a
}

// withKeptBreakers returns the services and upstreams with calls that may fail, or no longer fail, because overrides keep breakers
// open or closed which they did not do in all of the time before the edit.
func withKeptBreakers(baseline, next *generation, now time.Time) affected {
	a := affected{services: make(map[string]effect), upstreams: make(map[string]effect)}
	for _, x := range next.overrides {
		r := next.set.Rule(x.Target)
		longer := slices.Contains(baseline.overrides, x) && now.Sub(x.Since) > traffic.Window
		if x.Action != admin.ActionBreaker || r == nil || longer {
			continue
		}
		if r.ClientSide() {
			a.rules = append(a.rules, r)
		}
		for i := range next.set.Manifest.Upstreams {
			if name := next.set.Manifest.Upstreams[i].Name; wildcard.MatchAny(r.Match.Upstream, name) {
				a.upstreams[name] = byRules
			}
		}
		for i := range next.set.Manifest.Services {
			name := next.set.Manifest.Services[i].Name
			if !r.ClientSide() && (len(r.Match.Service) == 0 || wildcard.MatchAny(r.Match.Service, name)) {
				a.services[name] = byRules
			}
		}
	}
	return a
}

// concerns reports whether a rule applies to calls to an upstream, other than those of callers that it names.
func concerns(r *config.Rule, upstream string) bool {
	return r != nil && wildcard.MatchAny(r.Match.Upstream, upstream) &&
		(len(r.Match.Caller) == 0 || slices.ContainsFunc(r.Match.Caller, func(p string) bool { return strings.Contains(p, "*") }))
}

// service returns how the edit affects a service, or an upstream that it uses.
func (a *affected) service(s *config.Service) effect {
	how := a.services[s.Name]
	for _, u := range s.Uses {
		how = max(how, a.upstreams[u])
	}
	return how
}

// other returns how the edit affects a service of other hosts.
func (a *affected) other(service string) effect {
	if a.remote == unaffected && slices.ContainsFunc(a.rules, func(r *config.Rule) bool { return concerns(r, service) }) {
		return byRules
	}
	return a.remote
}

// judge returns the evidence against the edit; empty: none so far.
func (f *failures) judge() string {
	if f == nil {
		return ""
	}
	var before, now ratio
	for i := range f.others {
		before, now = before.plus(f.others[i].before), now.plus(f.others[i].now())
	}
	grown := 0.0 // by how much the ratio has grown elsewhere, too
	if now.all >= f.minimum {
		grown = max(now.share()-before.share(), 0)
	}
	before, now = ratio{}, ratio{}
	for i := range f.affected {
		m := &f.affected[i]
		if m.before.all == 0 || m.keptBreakers {
			continue
		}
		n := m.now()
		if bad := f.exceeds(m.name, m.before, n, grown); bad != "" {
			return bad
		}
		before, now = before.plus(m.before), now.plus(n)
	}
	return f.exceeds("calls of the methods that it affects", before, now, grown)
}

// calls returns the number of calls since the edit that are judged.
func (f *failures) calls() (n uint64) {
	if f != nil {
		for i := range f.affected {
			if m := &f.affected[i]; !m.keptBreakers {
				n += m.now().all
			}
		}
	}
	return n
}

func (f *failures) exceeds(name string, before, now ratio, grown float64) string {
	if now.all < f.minimum || now.share()-before.share()-grown <= f.maximum {
		return ""
	}
	return fmt.Sprintf("%.0f %% of %s %s fail, %.0f %% did before r%d", now.share()*100, admin.Thousands(now.all), name, before.share()*100, f.revision)
}
