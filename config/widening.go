package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Widening is a call that an edit lets through: the access rules and the identification of callers of the old set refused it.
type Widening struct {
	Target
	Caller   string
	Claims   map[string]string // of the caller; nil: they do not matter
	Peer     netip.Addr        // of the caller; zero if addresses do not matter, or it has none
	Proxy    netip.Addr        // through which the call comes; zero if that does not matter
	Rule     string            // the rule that refused it; empty if another setting changed
	Cause    string            // what changed: "only-web: mode enforce → shadow"
	Position Position          // of the change
	OK       bool              // the rule has widen: ok

	shown string // the caller and its address, as String has them
}

// String returns "wider: anonymous may now call Arith.Mul (only-web: mode enforce → shadow, 10.yaml:3)".
func (w *Widening) String() string {
	cause := w.Cause
	if !w.Position.IsZero() {
		cause += ", " + w.Position.String()
	}
	return fmt.Sprintf("wider: %s may now call %s (%s)", w.shown, w.Target, cause)
}

// problem returns the widening as a problem with its position.
func (w *Widening) problem() Problem {
	bare := *w
	bare.Position = Position{}
	return w.Position.Problem("", bare.String())
}

// Widenings holds the first few calls that an edit lets through.
type Widenings struct {
	List      []Widening
	Undecided string   // why there may be others; empty if List is complete
	Rules     []string // that alone may let others through, and would be meant to with widen: ok; empty: it is not as simple
}

// Bounds of the search for widenings.
const (
	maxWidenings     = 5
	maxWideningSteps = 500_000 // evaluations of a rule for a call
)

// Widened finds calls that next lets through and old refuses, by their enforced access rules and by how they identify callers.
// changes are those between the sets. targets are the methods of the host; nil: a method for each class that the patterns distinguish.
func Widened(old, next *Set, changes Changes, targets []Target) Widenings {
	if changes.Neutral() {
		return Widenings{}
	}
	now := time.Now()
	s := &wideningSearch{
		old: accessAsker{rules: accessRules(old.Rules, now)}, next: accessAsker{rules: accessRules(next.Rules, now)}, changes: changes,
	}
	if len(s.old.rules) == 0 {
		return Widenings{}
	}
	changed := s.changedRules(old, next)
	s.moved = !slices.Equal(proxiesOf(old), proxiesOf(next))
	s.renamed = renamedClaim(old.Manifest, next.Manifest, slices.Concat(s.old.rules, s.next.rules))
	if len(changed) == 0 && !s.moved && s.renamed == "" && slices.Equal(identified(old, now), identified(next, now)) && open(old.Manifest) == open(next.Manifest) {
		return Widenings{}
	}
	s.u = newUniverse(old, next, slices.Concat(s.old.rules, s.next.rules), targets, now)
	for _, c := range changed {
		s.byRule(c)
	}
	s.byCaller()
	if s.moved {
		s.byProxy(proxiesOf(old), proxiesOf(next))
	}
	return s.found()
}

// wideningSearch looks for widenings.
type wideningSearch struct {
	old, next accessAsker
	u         *universe
	changes   Changes
	moved     bool     // other proxies are trusted
	renamed   string   // a claim that is another one of the token than before
	shared    []string // rules with enforceShare that were not compared for all addresses
	list      []Widening
	steps     int
}

// changedRule is an access rule with its successor; nil if it was removed.
type changedRule struct {
	rule *Rule
	heir *Rule
}

// changedRules returns the rules that may refuse less than before, those without widen: ok first.
func (s *wideningSearch) changedRules(old, next *Set) []changedRule {
	after := successors(old.Rules, next.Rules)
	inForce := map[*Rule]bool{}
	for _, r := range s.next.rules {
		inForce[r] = true
	}
	var list []changedRule
	for _, r := range s.old.rules {
		if heir := after[r]; heir == nil || !inForce[heir] || !sameAccess(r, heir) {
			list = append(list, changedRule{r, heir})
		}
	}
	slices.SortStableFunc(list, func(a, b changedRule) int { return boolInt(a.ok()) - boolInt(b.ok()) })
	return list
}

// ok reports whether the rule has widen: ok: the new one or, if it was removed, the old one.
func (c changedRule) ok() bool {
	if c.heir == nil {
		return c.rule.Widen == widenOK
	}
	return c.heir.Widen == widenOK
}

// done reports whether the search has found enough or taken too long.
func (s *wideningSearch) done() bool {
	return len(s.list) >= maxWidenings || s.steps >= maxWideningSteps
}

// byRule finds a call that a rule refused and that nothing refuses any more.
func (s *wideningSearch) byRule(changed changedRule) {
	r, heir := newAccessRule(changed.rule), changed.heir
	callers := r.mayRefuse(s.u.callers, s.u.known)
	for _, t := range s.u.targets {
		if !matchesTarget(r.Rule, t) {
			continue
		}
		for who := range s.u.callersOf(callers) {
			for _, peer := range s.u.peers {
				if s.done() {
					return
				}
				s.steps++
				c := &accessCall{t, who.name, peer, who.claims}
				if !s.passes(r, heir, c) {
					continue
				}
				peer = c.peer
				w := Widening{Target: t, Caller: who.name, Claims: who.claims, Rule: r.Name, OK: changed.ok()}
				w.setPeer(peer, peer != s.u.peers[0] || usesPeers(changed.rule) || heir != nil && usesPeers(heir))
				w.Cause, w.Position = s.causeOf(changed.rule, heir)
				s.list = append(s.list, w)
				return
			}
		}
	}
}

// passes reports whether next lets a call through that a rule refused. If the address of an anonymous caller decides, it looks
// for such an address, and sets it.
func (s *wideningSearch) passes(r *accessRule, heir *Rule, c *accessCall) bool {
	let := func(c *accessCall) bool { return r.refuses(c) && !s.next.refuses(c, &s.steps) }
	if !s.u.shares(c) {
		return let(c)
	}
	atLeast := func(n *accessRule) bool { // whatever the address is
		return share(n.EnforceShare) == 1 || n.Rule == heir && n.Name == r.Name && share(n.EnforceShare) >= share(r.EnforceShare)
	}
	if !r.wouldRefuse(c) || slices.ContainsFunc(s.next.rulesFor(c.Target, &s.steps), func(n *accessRule) bool {
		s.steps++
		return atLeast(n) && n.wouldRefuse(c)
	}) {
		return false
	}
	var found bool
	c.peer, found = s.u.alike(c.peer, func(a netip.Addr) bool {
		s.steps++
		return let(&accessCall{c.Target, c.caller, a, c.claims})
	})
	if !found {
		s.undecided(r, heir)
	}
	return found
}

// undecided notes that calls that a rule refused were not compared for all addresses, unless it is meant to refuse less.
func (s *wideningSearch) undecided(r *accessRule, heir *Rule) {
	if !(changedRule{r.Rule, heir}).ok() && !slices.Contains(s.shared, r.Name) {
		s.shared = append(s.shared, r.Name)
	}
}

// usesPeers reports whether the address of the caller matters to an access rule.
func usesPeers(r *Rule) bool {
	return len(r.Match.Peer) > 0 || r.EnforceShare != nil || slices.ContainsFunc(r.Match.Except, func(x Exception) bool { return len(x.Peer) > 0 })
}

// setPeer sets the address of the caller, and whether the text shows it.
func (w *Widening) setPeer(peer netip.Addr, matters bool) {
	w.Peer, w.shown = peer, w.Caller+claimsText(w.Claims)
	switch {
	case !matters:
	case peer.IsValid():
		w.shown += " from " + peer.String()
	default:
		w.shown += " over a unix socket"
	}
}

// causeOf returns the change by which a rule became wider.
func (s *wideningSearch) causeOf(r, heir *Rule) (string, Position) {
	if heir == nil {
		return r.Name + " removed", r.Position("")
	}
	for _, e := range []Effect{Wider, Changed, Tighter} {
		for _, c := range s.changes {
			if c.Effect == e && c.Subject == heir.Name && c.Path != "" {
				return heir.Name + ": " + clip(c.Text), c.Position
			}
		}
	}
	return heir.Name + " changed", heir.Position("")
}

// byCaller finds a call that is let through because its caller, which was anonymous before, is identified now.
func (s *wideningSearch) byCaller() {
	for who := range s.u.callersOf(s.u.fresh) {
		for _, t := range s.u.targets {
			for _, peer := range s.u.peers {
				if s.done() {
					return
				}
				s.steps++
				if s.next.refuses(&accessCall{t, who.name, peer, who.claims}, &s.steps) {
					continue
				}
				if from, refused := s.refusedBefore(t, peer); refused {
					w := Widening{Target: t, Caller: who.name, Claims: who.claims}
					w.setPeer(from, from != s.u.peers[0])
					w.Cause, w.Position = s.causeOfCaller(who.name)
					s.list = append(s.list, w)
					return
				}
			}
		}
	}
}

// refusedBefore reports whether the old set refuses a call of an anonymous caller, and from which of the addresses that are like
// peer.
func (s *wideningSearch) refusedBefore(t Target, peer netip.Addr) (from netip.Addr, refused bool) {
	refuses := func(a netip.Addr) bool { return s.old.refuses(&accessCall{t, "anonymous", a, nil}, &s.steps) }
	c := &accessCall{t, "anonymous", peer, nil}
	if !s.u.shares(c) {
		return peer, refuses(peer)
	}
	if from, refused = s.u.alike(peer, refuses); refused {
		return from, true
	}
	for _, r := range s.old.rulesFor(t, &s.steps) {
		s.steps++
		if share(r.EnforceShare) > 0 && r.wouldRefuse(c) {
			s.undecided(r, nil)
		}
	}
	return peer, false
}

// causeOfCaller returns the change by which a caller became known.
func (s *wideningSearch) causeOfCaller(caller string) (string, Position) {
	for _, c := range s.changes {
		if token := "token of " + caller; c.Subject == "tokens" && c.Text == token+" added" || c.Subject == token {
			return strings.TrimPrefix(c.Subject+": ", "tokens: ") + c.Text, c.Position
		}
	}
	return s.setting("auth.")
}

// setting returns the first change of a setting of the manifest.
func (s *wideningSearch) setting(prefix string) (string, Position) {
	for _, c := range s.changes {
		if c.Subject == "" && strings.HasPrefix(c.Path, prefix) {
			return clip(c.Text), c.Position
		}
	}
	return prefix + "*", Position{}
}

// byProxy finds a call that is let through because a proxy is trusted that was not, or the other way round, so that rules see
// another address.
func (s *wideningSearch) byProxy(old, next []string) {
	before, after := newProxies(old), newProxies(next)
	for _, proxy := range s.u.peers {
		if before.trust(proxy) == after.trust(proxy) {
			continue
		}
		for _, t := range s.u.targets {
			for who := range s.u.callersOf(slices.Concat(s.u.callers, s.u.fresh)) {
				for _, client := range s.u.peers {
					if s.done() {
						return
					}
					s.steps++
					was, is := s.u.before(who, t, client), &accessCall{t, who.name, proxy, who.claims}
					if after.trust(proxy) {
						was.peer, is.peer = proxy, client
					}
					if !client.IsValid() || !s.old.refuses(was, &s.steps) || s.next.refuses(is, &s.steps) {
						continue
					}
					w := Widening{Target: t, Caller: who.name, Claims: who.claims, Proxy: proxy}
					w.setPeer(client, true)
					w.shown += " behind the proxy " + proxyText(proxy)
					w.Cause, w.Position = s.setting("auth.trustedProxies")
					s.list = append(s.list, w)
					return
				}
			}
		}
	}
}

func proxyText(proxy netip.Addr) string {
	if !proxy.IsValid() {
		return "on a unix socket"
	}
	return proxy.String()
}

func (s *wideningSearch) found() Widenings {
	w := Widenings{List: s.list}
	switch {
	case len(s.list) >= maxWidenings:
		w.Undecided = fmt.Sprintf("there may be more than these %d", maxWidenings)
	case s.steps >= maxWideningSteps:
		w.Undecided = "there are too many callers, methods and rules to compare all of them"
	case s.renamed != "":
		w.Undecided = fmt.Sprintf("rules match on identity.%s, and auth.jwt.claims makes it another claim of the token", clip(s.renamed))
	case s.moved && s.u.sharing:
		w.Undecided = "enforceShare selects anonymous callers by their addresses, and auth.trustedProxies changes these"
	case len(s.shared) > 0 && !s.u.partial:
		w.Rules = s.shared
		w.Undecided = "enforceShare selects anonymous callers by their addresses, of which only some were tried for " + clip(strings.Join(s.shared, ", "))
	case s.u.partial:
		w.Undecided = "the patterns of the rules overlap in too many ways to compare all calls"
	}
	return w
}

// accessAsker evaluates the access rules of one set.
type accessAsker struct {
	rules    []*Rule
	compiled map[*Rule]*accessRule
	byTarget map[Target][]*accessRule
}

// refuses reports whether a rule refuses a call. It adds the number of evaluations to steps.
func (a *accessAsker) refuses(c *accessCall, steps *int) bool {
	return slices.ContainsFunc(a.rulesFor(c.Target, steps), func(r *accessRule) bool {
		*steps++
		return r.refuses(c)
	})
}

// rulesFor returns the rules for a method.
func (a *accessAsker) rulesFor(t Target, steps *int) []*accessRule {
	list, known := a.byTarget[t]
	if !known {
		*steps += len(a.rules) / 8 // to match a target is quicker than to evaluate a rule
		for _, r := range a.rules {
			if matchesTarget(r, t) {
				list = append(list, a.compile(r))
			}
		}
		if a.byTarget == nil {
			a.byTarget = map[Target][]*accessRule{}
		}
		a.byTarget[t] = list
	}
	return list
}

func (a *accessAsker) compile(r *Rule) *accessRule {
	if a.compiled == nil {
		a.compiled = map[*Rule]*accessRule{}
	}
	if a.compiled[r] == nil {
		a.compiled[r] = newAccessRule(r)
	}
	return a.compiled[r]
}
