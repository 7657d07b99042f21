package forecast

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/policies"
)

// difference finds what an edit changes.
type difference struct {
	*Edit
	old, next map[string]*config.Rule
	now       time.Time
}

func newDifference(e *Edit) *difference {
	byName := func(rules []config.Rule) map[string]*config.Rule {
		m := make(map[string]*config.Rule, len(rules))
		for i := range rules {
			m[rules[i].Name] = &rules[i]
		}
		return m
	}
	return &difference{e, byName(e.Old.Set.Rules), byName(e.Next.Set.Rules), time.Now()}
}

// subjects returns the kinds of rules that the edit changes, and findings about changes that cannot be forecast.
func (d *difference) subjects() (list []subject, others []admin.Finding) {
	for left := d.Changes; len(left) > 0; {
		name := left[0].Subject
		n := slices.IndexFunc(left, func(c config.Change) bool { return c.Subject != name })
		if n < 0 {
			n = len(left)
		}
		some := left[:n]
		left = left[n:]
		if some.Neutral() {
			continue
		}
		rule, was := d.next[name], d.old[name]
		if rule != nil && was == nil {
			was = d.old[rule.Was]
		}
		if rule == nil && was == nil {
			for j := range some {
				if some[j].Effect != config.Neutral && !some[j].OfContent() { // certificates are renewed
					others = append(others, otherChange(some[j:j+1]))
				}
			}
			continue
		}
		list = append(list, d.kinds(rule, was, some)...)
	}
	return list, others
}

// otherChange returns the finding about a change of something else than a rule.
func otherChange(c config.Changes) admin.Finding {
	bare := c[0]
	bare.Position = config.Position{}
	return admin.Finding{Change: config.Changes{bare}.String(), At: c[0].Position, Position: c[0].Position.String(), NotForecast: "it is not a change of a rule"}
}

// kinds returns the kinds of a rule that the edit changes. rule and was are the rule after and before; nil: it is new, or removed.
func (d *difference) kinds(rule, was *config.Rule, changes config.Changes) (list []subject) {
	is, before := d.enforced(rule), d.enforced(was)
	all := slices.Concat(is, slices.DeleteFunc(slices.Clone(before), func(k config.Kind) bool { return slices.Contains(is, k) }))
	for _, k := range all {
		s := subject{kind: k, changes: about(changes, k, all)}
		if slices.Contains(is, k) {
			s.rule = rule
		}
		if slices.Contains(before, k) {
			s.was = was
		}
		if s.rule == nil || s.was == nil || !config.Same(was, rule, k) {
			list = append(list, s)
		}
	}
	return list
}

// enforced returns the kinds of a rule that may refuse a call: none in shadow.
func (d *difference) enforced(r *config.Rule) []config.Kind {
	if r == nil || r.Mode == config.Off || r.Mode == config.Shadow || r.Expired(d.now) {
		return nil
	}
	return r.Kinds()
}

// about returns those of the changes of a rule that are not about another one of its kinds.
func about(changes config.Changes, kind config.Kind, kinds []config.Kind) config.Changes {
	return slices.DeleteFunc(slices.Clone(changes), func(c config.Change) bool {
		block, _, _ := strings.Cut(c.Path, ".")
		return c.Effect == config.Neutral || block != string(kind) && slices.Contains(kinds, config.Kind(block))
	})
}

// subject is a kind of a rule that the edit changes.
type subject struct {
	rule, was *config.Rule // after and before; nil: it refuses nothing
	kind      config.Kind
	changes   config.Changes
}

// finding returns the forecast for a subject.
func (s *subject) finding(r *record, old, next *run) admin.Finding {
	rule, by, before := s.rule, new(tally), new(tally)
	if t := old.of(s.was, s.kind); t != nil {
		before = t
	}
	if rule == nil {
		rule, by.met, by.undecided, by.why = s.was, before.met, before.undecided, before.why
	} else if t := next.of(rule, s.kind); t != nil {
		by = t
	}
	at := s.position(rule)
	f := admin.Finding{
		Rule: rule.Name, Kind: s.kind, Change: s.text(), At: at, Position: at.String(), Calls: whole(by.met),
		Refused: whole(by.refused), RefusedBefore: whole(min(before.refused, by.met)), NotCounted: whole(by.undecided), NotForecast: by.why,
	}
	if by.met > 0 {
		f.CallsPerSecond = by.met / r.length.Seconds()
		f.Rough = s.rough(before, f.CallsPerSecond)
		f.Share, f.Most = by.refused/by.met, most(r, rule, by)
	}
	switch {
	case rule.ClientSide():
		f.NotForecast = "the calls to upstreams are not recorded by caller"
	case s.kind == config.KindShed:
		f.NotForecast = "it depends on the CPU utilization, which is not recorded"
	case s.kind == config.KindPriority:
		f.NotForecast = "it refuses no call itself, but says which go first"
	case s.kind.ClientOnly():
		f.NotForecast = "it is not a rule for calls that come in"
	}
	return f
}

// rough returns why the forecast is rough; empty if it is not.
func (s *subject) rough(before *tally, perSecond float64) string {
	switch r := s.rule; {
	case r == nil:
	case s.kind == config.KindConcurrency && r.Concurrency.Adaptive != nil:
		return "the limit adapts, and its maximum is taken"
	case s.kind == config.KindConcurrency:
		return "it takes calls to come independently of each other"
	case s.kind == config.KindCircuitBreaker:
		return "it takes failures to come at random"
	case s.kind == config.KindTimeout && s.was != nil && *r.Timeout > *s.was.Timeout && before.refused > 0:
		return "how long the calls would have taken that the shorter timeout has ended is not known"
	case s.kind == config.KindRateLimit && len(r.RateLimit.Key) == 0:
		limit := r.RateLimit
		if float64(limit.Burst) < perSecond/10 && float64(limit.Rate)/limit.Per.Std().Seconds() > perSecond/2 {
			return "how unevenly calls come within five seconds is not known, and the burst is small"
		}
	}
	return ""
}

// text returns the changes of the subject in one line, without its name and position.
func (s *subject) text() string {
	if len(s.changes) == 0 {
		return string(s.kind) + " changed"
	}
	bare := slices.Clone(s.changes)
	for i := range bare {
		bare[i].Position = config.Position{}
	}
	return strings.TrimPrefix(bare.String(), bare[0].Subject+": ")
}

// position returns where the first change is.
func (s *subject) position(rule *config.Rule) config.Position {
	if len(s.changes) > 0 && !s.changes[0].Position.IsZero() {
		return s.changes[0].Position
	}
	return rule.Position(string(s.kind))
}

func whole(n float64) uint64 { return uint64(math.Round(n)) }

// most returns the callers and methods of which a rule refuses most calls.
func most(r *record, rule *config.Rule, t *tally) []admin.Refused {
	peers := len(rule.Match.Peer) > 0 || rule.RateLimit != nil && slices.ContainsFunc(rule.RateLimit.Key, isPeer)
	at := make(map[admin.Refused]*admin.Refused)
	var list []*admin.Refused
	for i, n := range t.by {
		c := &r.cells[i]
		key := admin.Refused{Caller: cmp.Or(c.Caller, policies.Anonymous), Method: c.method}
		if c.AnyCaller {
			key.Caller = "others"
		}
		if peers && c.Peer.IsValid() {
			key.Peer = c.Peer.String()
		}
		row := at[key]
		if row == nil {
			copied := key
			row = &copied
			at[key], list = row, append(list, row)
		}
		row.Refused += whole(n)
		row.Calls += whole(c.all.calls)
	}
	slices.SortFunc(list, func(a, b *admin.Refused) int {
		return cmp.Or(cmp.Compare(b.Refused, a.Refused), cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Peer, b.Peer))
	})
	var rows []admin.Refused
	for _, row := range list {
		if row.Refused > 0 && len(rows) < maxMost {
			rows = append(rows, *row)
		}
	}
	return rows
}

func isPeer(part string) bool {
	return part == config.KeyPeer || strings.HasPrefix(part, config.KeyPeer+"/")
}
