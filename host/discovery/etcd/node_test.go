package etcd

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire/client"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// nodes returns nodes with these addresses, under one exact name.
func nodes(addresses ...string) map[identity]node {
	live := map[identity]node{}
	for _, a := range addresses {
		n := node{Endpoint: client.Endpoint{Network: "tcp", Address: a}, service: "Arith", lower: "arith", exact: true}
		live[n.identity()] = n
	}
	return live
}

func anyName(node) bool { return true }

// shown returns the addresses of a list, stale ones in parentheses.
func shown(list []callable) string {
	words := make([]string, len(list))
	for i, k := range list {
		words[i] = k.Address
		if k.stale {
			words[i] = "(" + k.Address + ")"
		}
	}
	return strings.Join(words, " ")
}

func newServiceEndpoints(percent int) *serviceEndpoints {
	return &serviceEndpoints{percent: percent, hold: 30 * time.Second, recentlyGone: map[identity]goneNode{}}
}

func TestALossCountsWhenEnoughEndpointsRemain(t *testing.T) {
	for _, c := range []struct {
		percent       int
		before, after string
		want          string
	}{
		{50, "a b c d", "a b c d", "a b c d"},
		{50, "a b c d", "a b c", "a b c"},
		{50, "a b c d", "a b", "a b"}, // half is enough
		{50, "a b c d", "a", "a (b) (c) (d)"},
		{50, "a b c d", "", "(a) (b) (c) (d)"},
		{50, "a", "", "(a)"},
		{50, "a b", "c", "(a) (b) c"}, // new ones do not replace two lost thirds
		{50, "a b", "c d", "c d"},     // but replacing all is a deployment
		{0, "a b c d", "", ""},
		{100, "a b c d", "a b c", "a b c (d)"},
		{1, "a b c d", "a", "a"},
		{1, "a b c d", "", "(a) (b) (c) (d)"},
	} {
		m := newServiceEndpoints(c.percent)
		m.set(start, nodes(strings.Fields(c.before)...), nil)
		m.set(start, nodes(strings.Fields(c.after)...), nil)
		list, _ := m.list(start, anyName)
		if got := shown(list); got != c.want {
			t.Errorf("%d %%, %q to %q: %q, want %q", c.percent, c.before, c.after, got, c.want)
		}
	}
}

func TestALostEndpointExpires(t *testing.T) {
	m := newServiceEndpoints(50)
	m.set(start, nodes("a", "b", "c"), nil)
	m.set(start.Add(time.Second), nodes("c"), nil)
	list, until := m.list(start.Add(2*time.Second), anyName)
	if shown(list) != "(a) (b) c" || !until.Equal(start.Add(31*time.Second)) {
		t.Errorf("%s until %v", shown(list), until)
	}
	if list, until := m.list(until, anyName); shown(list) != "c" || !until.IsZero() {
		t.Errorf("%s until %v", shown(list), until)
	}
	m.set(start.Add(time.Minute), nodes(), nil)
	m.set(start.Add(2*time.Minute), nodes(), nil)
	if !m.empty() {
		t.Errorf("it keeps %v", m.recentlyGone)
	}
}

func TestTheHoldRestartsWhenEtcdIsBack(t *testing.T) {
	m := newServiceEndpoints(50)
	m.set(start, nodes("a"), nil)
	m.set(start, nodes(), nil)
	m.restartHold(start.Add(29 * time.Second))
	if list, _ := m.list(start.Add(50*time.Second), anyName); shown(list) != "(a)" {
		t.Errorf("%q", shown(list))
	}
}

func TestAReturningEndpointIsLive(t *testing.T) {
	m := newServiceEndpoints(50)
	m.set(start, nodes("a", "b"), nil)
	m.set(start, nodes(), nil)
	m.set(start, nodes("b"), nil)
	if list, _ := m.list(start, anyName); shown(list) != "b" {
		t.Errorf("%q", shown(list))
	}
	m.set(start, nodes("a", "b"), nil)
	if list, _ := m.list(start, anyName); shown(list) != "a b" || len(m.recentlyGone) > 0 {
		t.Errorf("%q, expired %v", shown(list), m.recentlyGone)
	}
}

func TestAWithdrawnEndpointIsNotKept(t *testing.T) {
	m := newServiceEndpoints(50)
	live := nodes("a", "b")
	m.set(start, live, nil)
	out := map[identity]bool{}
	for id := range live {
		out[id] = true
	}
	m.set(start, nodes(), out)
	if list, _ := m.list(start, anyName); len(list) != 0 {
		t.Errorf("%q", shown(list))
	}
}

// All keys are deleted while hosts run: they return one by one, and callers never see fewer than half.
func TestAWipedListNeverFallsBelowTheShare(t *testing.T) {
	const hosts = 20
	var all []string
	for i := range hosts {
		all = append(all, fmt.Sprintf("h%02d", i))
	}
	m := newServiceEndpoints(50)
	m.set(start, nodes(all...), nil)
	m.set(start, nodes(), nil)
	for back := range hosts + 1 {
		m.set(start, nodes(all[:back]...), nil)
		list, _ := m.list(start, anyName)
		if want := hosts; back >= hosts/2 {
			want = back
			if len(list) != want {
				t.Errorf("%d are back: %d endpoints, want %d", back, len(list), want)
			}
		} else if len(list) != want {
			t.Errorf("%d are back: %d endpoints, want %d", back, len(list), want)
		}
		if !slices.IsSortedFunc(list, func(a, b callable) int { return strings.Compare(a.Address, b.Address) }) {
			t.Errorf("not in order: %s", shown(list))
		}
	}
}
