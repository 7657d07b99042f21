package policies_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
)

// openWorld is a small world of calls, in which every region that the patterns below tell apart has one.
var openWorld = struct {
	targets []policies.Target
	callers []string
	peers   []netip.Addr
}{
	targets: []policies.Target{{Service: "A", Method: "Get"}, {Service: "A", Method: "Set"}, {Service: "B", Method: "Get"}},
	callers: []string{"anonymous", "web-1", "web-2", "ops", "evil"},
	peers: []netip.Addr{
		netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.1.0.7"), netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("192.0.2.1"),
		netip.MustParseAddr("::1"),
	},
}

func drawPatterns(t *rapid.T, label string, from ...string) config.Patterns {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(from), 0, 2, rapid.ID[string]).Draw(t, label)
}

func drawCallers(t *rapid.T, label string) config.Patterns {
	return drawPatterns(t, label, "anonymous", "web-*", "web-1", "*-1", "ops", "*", "o*", "e*l", "nobody")
}

func drawNetworks(t *rapid.T, label string) config.Patterns {
	return drawPatterns(t, label, "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "0.0.0.0/0", "::/0")
}

func drawEntries(t *rapid.T, label string) (list []config.AccessEntry) {
	for i := range rapid.IntRange(0, 2).Draw(t, label) {
		if callers := drawCallers(t, fmt.Sprint(label, i)); len(callers) > 0 {
			list = append(list, config.AccessEntry{Caller: callers, Methods: drawPatterns(t, "methods", "Get", "S*", "*")})
		}
	}
	return list
}

func drawAccessRule(t *rapid.T, name string) config.Rule {
	r := config.Rule{
		Name: name, Mode: rapid.SampledFrom([]config.Mode{config.Enforce, config.Enforce, config.Enforce, config.Shadow, config.Off}).Draw(t, "mode"),
		Match: config.Match{
			Service: drawPatterns(t, "service", "A", "*", "B*"), Method: drawPatterns(t, "method", "Get", "*et"),
			Caller: drawCallers(t, "caller"), Peer: drawNetworks(t, "peer"),
		},
		Access: &config.Access{Allow: drawEntries(t, "allow"), Deny: drawEntries(t, "deny")},
		Widen:  rapid.SampledFrom([]string{"", "", "ok"}).Draw(t, "widen"),
	}
	if rapid.IntRange(0, 2).Draw(t, "excepts") == 0 {
		r.Match.Except = config.Exceptions{{Caller: drawCallers(t, "except"), Peer: drawNetworks(t, "except peer")}}
	}
	if rapid.IntRange(0, 5).Draw(t, "shared") == 0 {
		r.EnforceShare = new(config.Share)
		*r.EnforceShare = config.Share(rapid.SampledFrom([]float64{0, 0.3, 0.8}).Draw(t, "share"))
	}
	if rapid.IntRange(0, 5).Draw(t, "expires") == 0 {
		r.Expires = time.Date(rapid.SampledFrom([]int{2000, 2200}).Draw(t, "year"), 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return r
}

func drawSet(t *rapid.T, label string, from []config.Rule) *config.Set {
	set := &config.Set{Manifest: new(config.Manifest)}
	if rapid.Bool().Draw(t, label+" identifies") {
		set.Manifest.Auth.Identify = []string{"token"}
	}
	if rapid.IntRange(0, 3).Draw(t, label+" proxies") == 0 {
		set.Manifest.Auth.TrustedProxies = drawNetworks(t, label+" trusted")
	}
	for i, caller := range openWorld.callers[1:] {
		if rapid.IntRange(0, 3).Draw(t, label+" token") > 0 {
			set.Tokens = append(set.Tokens, config.Token{Caller: caller, SHA256: strings.Repeat(fmt.Sprint(i), 64)})
		}
	}
	for i, r := range from {
		switch rapid.IntRange(0, 4).Draw(t, label+" what") {
		case 0: // removed
		case 1:
			set.Rules = append(set.Rules, drawAccessRule(t, fmt.Sprint("r", i)))
		default:
			set.Rules = append(set.Rules, r)
		}
	}
	return set
}

// view is a set as its calls meet it.
type accessView struct {
	set   *config.Set
	rules *policies.Snapshot
}

func newAccessView(t *rapid.T, set *config.Set) accessView {
	s, err := policies.Compile(set.Rules, openWorld.targets, nil, policies.Options{Revision: 1})
	if err != nil {
		t.Fatal(err)
	}
	s.Activate()
	return accessView{set, s}
}

func (v *accessView) identifies(caller string) bool {
	if caller == policies.Anonymous {
		return true
	}
	for _, token := range v.set.Tokens {
		if token.Caller == caller {
			return len(v.set.Manifest.Auth.Identify) > 0
		}
	}
	return false
}

// allows reports whether a call comes through. client is whom a proxy names.
func (v *accessView) allows(target policies.Target, caller string, peer, client netip.Addr) bool {
	for _, network := range v.set.Manifest.Auth.TrustedProxies {
		if netip.MustParsePrefix(network).Contains(peer) {
			peer = client
			break
		}
	}
	var ticket policies.Ticket
	err := v.rules.Guard(target).Enter(context.Background(), &policies.Call{Caller: caller, Peer: peer}, &ticket)
	if err == nil {
		ticket.Done(nil)
	}
	return err == nil
}

func TestWideningsAreThoseThatTheGuardsShow(t *testing.T) {
	var targets []config.Target
	for _, target := range openWorld.targets {
		targets = append(targets, config.Target(target))
	}
	found, undecided := 0, 0
	check := func(t *rapid.T) {
		var rules []config.Rule
		for i := range rapid.IntRange(0, 3).Draw(t, "rules") {
			rules = append(rules, drawAccessRule(t, fmt.Sprint("r", i)))
		}
		old, next := drawSet(t, "old", rules), drawSet(t, "next", rules)
		before, after := newAccessView(t, old), newAccessView(t, next)
		widened := config.Widened(old, next, config.Diff(old, next), targets)
		for i := range widened.List {
			w := &widened.List[i]
			from := w.Peer
			if !after.identifies(w.Caller) {
				t.Fatalf("%s: nobody is %s", w, w.Caller)
			}
			was := w.Caller
			if !before.identifies(was) {
				was = policies.Anonymous
			}
			if w.Proxy.IsValid() {
				from = w.Proxy
			}
			target := policies.Target(w.Target)
			if before.allows(target, was, from, w.Peer) || !after.allows(target, w.Caller, from, w.Peer) {
				t.Fatalf("%s is no widening", w)
			}
		}
		if len(widened.List) > 0 {
			found++
			return
		}
		if widened.Undecided != "" {
			undecided++
			return
		}
		for _, target := range openWorld.targets {
			for _, caller := range openWorld.callers {
				was := caller
				if !before.identifies(was) {
					was = policies.Anonymous
				}
				for _, peer := range openWorld.peers {
					for _, client := range openWorld.peers {
						if after.identifies(caller) && after.allows(target, caller, peer, client) && !before.allows(target, was, peer, client) {
							t.Fatalf("missed: %s, %s from %s for %s", target, caller, peer, client)
						}
					}
				}
			}
		}
	}
	for try := 0; try < 10 && found == 0; try++ { // the few sets of -short may have none
		rapid.Check(t, check)
	}
	t.Logf("%d found, %d undecided", found, undecided)
	if found == 0 {
		t.Error("none was found")
	}
}
