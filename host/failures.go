package host

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/host/traffic"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/wildcard"
)

// failures compares the ratio of calls that fail after an edit with that of the five minutes before, for the methods and upstreams
// that the edit affects and for all others. Calls that a rule of this host refused or ended do not count.
type failures struct {
	revision         int // of the edit
	maximum          float64
	minimum          uint64
	affected, others []failing
}

// failing counts the calls of one method of this host or of an upstream.
type failing struct {
	name   string
	calls  *traffic.Method
	start  traffic.Sum
	before ratio
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

func newFailing(name string, m *traffic.Method, minimum uint64, now time.Time) failing {
	last := m.Last(traffic.Window, now)
	before := ratio{last.Failed, last.Judged()}
	for _, d := range lately {
		last := m.Last(d, now)
		if r := (ratio{last.Failed, last.Judged()}); r.all >= minimum {
			before.failed = max(before.failed, uint64(r.share()*float64(before.all)))
			break
		}
	}
	return failing{name, m, m.Totals(), before}
}

// now returns the calls since the edit.
func (f *failing) now() ratio {
	sum := f.calls.Totals()
	return ratio{sum.Failed - f.start.Failed, sum.Judged() - f.start.Judged()}
}

// newFailures returns the failures to compare after an edit; nil if it affects no method.
func newFailures(baseline, next *generation, changes config.Changes, rules *policies.Baseline, settings *config.AutoRollback, m *telemetry.Metrics) *failures {
	f := &failures{revision: next.revision, maximum: float64(settings.MaxNewFailures), minimum: uint64(settings.MinRequests)}
	a := affectedBy(changes, baseline.set, next.set)
	now := time.Now()
	add := func(affected bool, name string, calls *traffic.Method) {
		list := &f.others
		if affected {
			list = &f.affected
		}
		*list = append(*list, newFailing(name, calls, f.minimum, now))
	}
	for _, s := range next.services {
		for _, method := range s.Methods {
			add(a.service(s.Config) || rules.Touches(method.Target), "calls of "+method.Target.Service+"."+method.Name, method.Traffic())
		}
	}
	for i := range next.set.Manifest.Upstreams {
		name := next.set.Manifest.Upstreams[i].Name
		for _, method := range m.Upstream(name).Methods() {
			add(a.upstreams[name], "calls to "+name+" ("+strings.Replace(method.Name, "/", ".", 1)+")", method.Method)
		}
	}
	if len(f.affected) == 0 {
		return nil
	}
	return f
}

// affected holds the services and upstreams that an edit affects.
type affected struct{ services, upstreams map[string]bool }

func affectedBy(changes config.Changes, before, next *config.Set) affected {
	a := affected{make(map[string]bool), make(map[string]bool)}
	upstreams := func(of func(*config.Upstream) bool) {
		for i := range next.Manifest.Upstreams {
			if u := &next.Manifest.Upstreams[i]; of(u) {
				a.upstreams[u.Name] = true
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
				upstreams(func(u *config.Upstream) bool { return concerns(was, u) || concerns(rule, u) })
			}
		case what == "service":
			a.services[name] = true
		case what == "upstream":
			a.upstreams[name] = true
		case what == "discovery":
			upstreams(func(u *config.Upstream) bool { return u.Resolve.Etcd == name })
		case next.Contents[c.Subject] != nil: // a certificate, key or password
			upstreams(func(u *config.Upstream) bool { return u.TLS != nil || u.Resolve.Etcd != "" })
		}
	}
	return a
}

// concerns reports whether a rule applies to calls to an upstream, other than those of callers that it names.
func concerns(r *config.Rule, u *config.Upstream) bool {
	return r != nil && wildcard.MatchAny(r.Match.Upstream, u.Name) &&
		(len(r.Match.Caller) == 0 || slices.ContainsFunc(r.Match.Caller, func(p string) bool { return strings.Contains(p, "*") }))
}

// service reports whether the edit affects a service, or an upstream that it uses.
func (a *affected) service(s *config.Service) bool {
	for _, u := range s.Uses {
		if a.upstreams[u] {
			return true
		}
	}
	return a.services[s.Name]
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
		if m.before.all == 0 {
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

// calls returns the number of calls since the edit.
func (f *failures) calls() (n uint64) {
	if f != nil {
		for i := range f.affected {
			n += f.affected[i].now().all
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
