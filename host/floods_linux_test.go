package host_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// siegeTime is how long attacks last: a moment, or some time with TEST_EASYMICRO_LONG.
func siegeTime(moment time.Duration) time.Duration {
	if os.Getenv("TEST_EASYMICRO_LONG") != "" {
		return 10 * time.Second
	}
	return moment
}

// attacks are all there are, or those with the names.
func attacks(t *testing.T, names ...string) []attack {
	t.Helper()
	all := append(rpcxAttacks(), httpAttacks()...)
	if len(names) == 0 {
		return all
	}
	var some []attack
	for _, name := range names {
		i := slices.IndexFunc(all, func(a attack) bool { return a.name == name })
		if i < 0 {
			t.Fatalf("no attack %q", name)
		}
		some = append(some, all[i])
	}
	return some
}

// Whatever flood comes, no call beside it fails, memory is bounded, and operators are answered. How soon is logged: the
// attackers have the same processors.
func TestNoFloodAffectsOtherCallers(t *testing.T) {
	s := besiege(t, siegeHost, 0, true)
	var names []string
	if raceEnabled { // which makes the host so slow that it has work for long
		names = []string{"slow calls of peers that go", "one-way calls", "cancelled calls", "http: slow one-way calls", "h2: rapid reset"}
	}
	for _, a := range attacks(t, names...) {
		t.Run(a.name, func(t *testing.T) {
			if a.lasting && os.Getenv("TEST_EASYMICRO_LONG") == "" {
				t.Skip("what it leaves behind is let go after half a minute")
			}
			s.withstand(t, siegeTime(150*time.Millisecond), a)
		})
	}
}

func TestNoMixOfFloodsAffectsOtherCallers(t *testing.T) {
	s := besiege(t, siegeHost, 0, true)
	mixes := [][]string{
		{"slow calls of peers that go", "one-way calls", "answers that nobody reads"},
		{"h2: rapid reset", "http: answers that nobody reads", "bombs"},
		{"silent peers", "http: headers byte by byte", "connections"},
		{"h2: streams that nobody reads", "half frames", "slow one-way calls"},
		{"http: slow one-way calls", "cancelled calls", "panics"},
		{"unknown names", "much metadata", "http: bodies byte by byte"},
	}
	if raceEnabled {
		mixes = mixes[:1]
	}
	for _, mix := range mixes {
		t.Run(strings.Join(mix, ", "), func(t *testing.T) { s.withstand(t, siegeTime(500*time.Millisecond), attacks(t, mix...)...) })
	}
}

// A rule for all calls refuses a flood beyond it, and those that it does not match are served.
func TestFloodsThatARuleRefusesDoNotAffectOtherCallers(t *testing.T) {
	s := besiege(t, siegeHost+`
policies: {rules: [{name: host-guard, match: {service: "*", except: {peer: `+goodNetwork+`/32}}, concurrency: {max: 500}}]}
`, 0, true)
	for _, name := range []string{"slow calls of peers that stay", "slow one-way calls", "http: slow one-way calls", "h2: slow calls"} {
		if raceEnabled && name != "slow one-way calls" {
			continue
		}
		t.Run(name, func(t *testing.T) { s.withstand(t, siegeTime(200*time.Millisecond), attacks(t, name)...) })
	}
}

// With no descriptor left, connected clients are served and operators are answered.
func TestFloodsOfConnectionsDoNotAffectOtherCallers(t *testing.T) {
	s := besiege(t, siegeHost, 200, false)
	for _, names := range [][]string{
		{"silent peers"},
		{"connections of one call"},
		{"half frames"},
		{"h2: beginnings of frames"},
		{"silent peers", "connections", "http: bodies byte by byte"},
	} {
		t.Run(strings.Join(names, ", "), func(t *testing.T) { s.withstand(t, siegeTime(200*time.Millisecond), attacks(t, names...)...) })
	}
}

// Whatever comes to the admin listener, callers and kubelets do not notice it.
func TestNoFloodOfTheAdminListenerAffectsCallersOrProbes(t *testing.T) {
	s := besiege(t, siegeHost, 0, true)
	for _, a := range adminAttacks() {
		if raceEnabled && a.name != "admin: requests" {
			continue
		}
		t.Run(a.name, func(t *testing.T) { s.withstand(t, siegeTime(150*time.Millisecond), a) })
	}
	t.Run("all", func(t *testing.T) { s.withstand(t, siegeTime(300*time.Millisecond), adminAttacks()...) })
}
